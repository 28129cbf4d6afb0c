"""Audit entries on their way to the broker, from a thread of its own."""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter

from mesh.errors import MeshError, TransientError
from mesh.events import AuditEntry
from mesh.logs import get_logger
from mesh.stage import Output
from results.ports import Publisher

_WAITING = 10_000
_BATCH = 200
_IDLE_SECONDS = 0.2
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Noted:
    entry: AuditEntry
    settled: "Future[None]" = field(default_factory=Future)


class AuditTrail:
    """Publishes entries at least once; what does not fit into its queue is counted and lost.

    A request is answered once the broker has its entry, so that the death of this process costs
    none that was answered. While the broker is away entries wait in memory and requests do not:
    what waits is lost only if this process is killed before the broker is back. A repetition has
    the same `audit_id`, by which the writer stores it once.
    """

    def __init__(
        self,
        publisher: Publisher,
        topic: str,
        registry: CollectorRegistry,
        *,
        limit: int = _WAITING,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        """Take what it works with; nothing is published before `start`."""
        self._publisher = publisher
        self._topic = topic
        self._pause = pause_seconds
        self._waiting: queue.Queue[_Noted] = queue.Queue(limit)
        self._away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._log = get_logger("audit")
        self._published = Counter(
            "sightline_audit_entries",
            "Audit entries that the broker acknowledged.",
            registry=registry,
        )
        self._dropped = Counter(
            "sightline_audit_entries_dropped",
            "Audit entries that were given up, by reason.",
            ["reason"],
            registry=registry,
        )

    def note(self, entry: AuditEntry) -> "Future[None]":
        """Queue an entry; never blocks. Done once it is settled, or at once without a broker."""
        noted = _Noted(entry)
        try:
            self._waiting.put_nowait(noted)
        except queue.Full:
            self._dropped.labels("queue_full").inc()
            return done()
        return done() if self._away else noted.settled

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def close(self) -> None:
        """Publish what is queued, unless the broker is away."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not (self._stop.is_set() and self._waiting.empty()):
            batch = self._batch()
            while batch and not self._sent(batch):
                if self._stop.is_set():
                    self._give_up(len(batch) + self._waiting.qsize())
                    return
                self._stop.wait(self._pause)

    def _batch(self) -> "list[_Noted]":
        batch: list[_Noted] = []
        try:
            batch.append(self._waiting.get(timeout=_IDLE_SECONDS))
            while len(batch) < _BATCH:
                batch.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _sent(self, batch: "list[_Noted]") -> bool:
        """Whether the batch is settled: acknowledged, or refused for good."""
        entries = [noted.entry for noted in batch]
        outputs = [Output(self._topic, each.person_id or each.user_id, each) for each in entries]
        try:
            self._publisher.publish(outputs)
        except TransientError as error:
            self._away = True
            _let_go(batch)
            self._log.warning("audit_waits", message=str(error), waiting=self._waiting.qsize())
            return False
        except MeshError as error:
            self._log.error("audit_refused", message=str(error), count=len(batch))
            self._dropped.labels("refused").inc(len(batch))
        else:
            self._published.inc(len(batch))
            self._away = False
        _let_go(batch)
        return True

    def _give_up(self, count: int) -> None:
        self._log.error("audit_lost", count=count)
        self._dropped.labels("stopped").inc(count)


def done() -> "Future[None]":
    """Nothing is to be waited for."""
    settled: Future[None] = Future()
    settled.set_result(None)
    return settled


def _let_go(batch: "list[_Noted]") -> None:
    """Nobody waits any longer for these."""
    for noted in batch:
        if not noted.settled.done():
            noted.settled.set_result(None)
