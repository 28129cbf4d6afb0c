"""Audit entries on their way to the broker, from a thread of its own that no request waits for."""

import queue
import threading

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


class AuditTrail:
    """Publishes entries at least once; what does not fit into its queue is counted and lost.

    While the broker is away entries wait. A repetition has the same `audit_id`, by which the
    writer stores it once.
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
        self._waiting: queue.Queue[AuditEntry] = queue.Queue(limit)
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

    def note(self, entry: AuditEntry) -> None:
        """Queue an entry; never blocks."""
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            self._dropped.labels("queue_full").inc()

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

    def _batch(self) -> list[AuditEntry]:
        batch: list[AuditEntry] = []
        try:
            batch.append(self._waiting.get(timeout=_IDLE_SECONDS))
            while len(batch) < _BATCH:
                batch.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _sent(self, batch: list[AuditEntry]) -> bool:
        """Whether the batch is settled: acknowledged, or refused for good."""
        outputs = [Output(self._topic, entry.person_id or entry.user_id, entry) for entry in batch]
        try:
            self._publisher.publish(outputs)
        except TransientError as error:
            self._log.warning("audit_waits", message=str(error), waiting=self._waiting.qsize())
            return False
        except MeshError as error:
            self._log.error("audit_refused", message=str(error), count=len(batch))
            self._dropped.labels("refused").inc(len(batch))
        else:
            self._published.inc(len(batch))
        return True

    def _give_up(self, count: int) -> None:
        self._log.error("audit_lost", count=count)
        self._dropped.labels("stopped").inc(count)
