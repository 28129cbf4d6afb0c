"""Audit entries on their way to where they are kept, from a thread of its own."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter

from mesh.errors import MeshError, TransientError
from mesh.events import AuditEntry
from mesh.logs import get_logger
from mesh.stage import Output
from results.domain.audit import ACCESS
from results.ports import Publisher

_WAITING = 10_000
_BATCH = 200
_IDLE_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
_AGAIN_SECONDS = 10.0
"""A broker that was away is tried again after this; meanwhile nobody waits for it."""

Keep = Callable[[Sequence[AuditEntry]], None]
"""Makes entries durable without the broker; raises `TransientError` if it cannot, either."""


@dataclass(frozen=True, slots=True)
class _Noted:
    entry: AuditEntry
    settled: "Future[None]" = field(default_factory=Future)


class AuditTrail:
    """Keeps entries at least once: the broker has them or, while it is away, the outbox.

    A request is answered once its entry is kept, so that the death of this process costs none that
    was answered. If neither takes it the request is refused: the entry of a mere access is dropped
    with it, that of a change goes on trying. A repetition has the same `audit_id`, by which the
    writer stores it once.
    """

    def __init__(
        self,
        publisher: Publisher,
        topic: str,
        registry: CollectorRegistry,
        *,
        keep: Keep,
        limit: int = _WAITING,
        pause_seconds: float = _PAUSE_SECONDS,
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        """Take what it works with; nothing is published before `start`."""
        self._publisher = publisher
        self._topic = topic
        self._pause = pause_seconds
        self._waiting: queue.Queue[_Noted] = queue.Queue(limit)
        self._keep = keep
        self._again = again_seconds
        self._broker_due = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._log = get_logger("audit")
        self._kept = Counter(
            "sightline_audit_entries",
            "Audit entries that the broker or the outbox has.",
            registry=registry,
        )
        self._dropped = Counter(
            "sightline_audit_entries_dropped",
            "Audit entries that were given up, by reason.",
            ["reason"],
            registry=registry,
        )

    def note(self, entry: AuditEntry) -> "Future[None]":
        """Queue an entry; never blocks. Done once it is kept, or fails with `TransientError`."""
        noted = _Noted(entry)
        try:
            self._waiting.put_nowait(noted)
        except queue.Full:
            self._dropped.labels("queue_full").inc()
            noted.settled.set_exception(TransientError("too many audit entries wait"))
        return noted.settled

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def close(self) -> None:
        """Keep what is queued, unless nothing takes it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        again: list[_Noted] = []
        while again or not (self._stop.is_set() and self._waiting.empty()):
            again = self._unkept([*again, *self._batch()])
            if again and self._stop.is_set():
                self._give_up(len(again) + self._waiting.qsize())
                return
            if again:
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

    def _unkept(self, batch: "list[_Noted]") -> "list[_Noted]":
        """Keep the batch; returns those entries that are to be tried again."""
        if not batch:
            return []
        entries = [noted.entry for noted in batch]
        try:
            if not self._published_all(entries):
                self._keep(entries)
        except TransientError as error:
            self._log.warning("audit_waits", message=str(error), waiting=self._waiting.qsize())
            _settle(batch, error)
            return [noted for noted in batch if noted.entry.audit_type != ACCESS]
        except MeshError as error:
            self._log.error("audit_refused", message=str(error), count=len(batch))
            self._dropped.labels("refused").inc(len(batch))
        else:
            self._kept.inc(len(batch))
        _settle(batch)
        return []

    def _published_all(self, entries: Sequence[AuditEntry]) -> bool:
        """Whether the broker has them all; one that was away is not asked for a while."""
        if time.monotonic() < self._broker_due:
            return False
        outputs = [Output(self._topic, key_of(each), each) for each in entries]
        try:
            self._publisher.publish(outputs)
        except TransientError as error:
            self._broker_due = time.monotonic() + self._again
            self._log.warning("audit_goes_to_the_outbox", message=str(error))
            return False
        return True

    def _give_up(self, count: int) -> None:
        self._log.error("audit_lost", count=count)
        self._dropped.labels("stopped").inc(count)


def key_of(entry: AuditEntry) -> str:
    """The key of an entry's record: whom it is about, else who did it."""
    return entry.person_id or entry.user_id


def done() -> "Future[None]":
    """Nothing is to be waited for."""
    settled: Future[None] = Future()
    settled.set_result(None)
    return settled


def _settle(batch: "list[_Noted]", failure: TransientError | None = None) -> None:
    """Tell who waits for these; whoever was refused before waits no longer."""
    for settled in (noted.settled for noted in batch if not noted.settled.done()):
        if failure is None:
            settled.set_result(None)
        else:
            settled.set_exception(failure)
