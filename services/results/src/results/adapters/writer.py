"""The writer's loop: records to rows, with the offsets in the database."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, cast

from mesh.clock import Clock
from mesh.errors import RejectedRecordError, TransientError
from mesh.events import FrameResult, Outcome
from mesh.logs import get_logger, handling
from mesh.ports import Codec, Heartbeat, WorkerMetrics
from mesh.record import RawRecord, Record
from mesh.retry import RetryPolicy
from results.adapters.writer_reader import PositionedReader
from results.adapters.writer_store import FencedError, Move, UnstorableError
from results.domain.changes import DEAD_LETTERS, EVENTS, Changes, DeadFrame, changes_of
from results.domain.ledger import entry_of_dead_letter, entry_of_result
from results.domain.rows import event_row

MAX_FENCES = 5
"""Fences lost one after the other before the process gives up: two writers share a group's work."""

_LAG_SECONDS = 5.0


class BatchStore(Protocol):
    """Where batches go; see `PostgresStore`."""

    def apply(self, moves: Sequence[Move], changes: Changes) -> None:
        """Write a batch and move its partitions on; all of it or nothing."""


class PictureStore(Protocol):
    """Where pictures go before their links; see `PictureUploader`."""

    def upload(self, records: Sequence[Record[Any]]) -> None:
        """Store the picture of every snapshot among the records."""


class DeadLetters(Protocol):
    """Where records go that can never be written."""

    def park(self, record: RawRecord, reason: str) -> None:
        """Return once the broker has the record."""

    def accepted(self, records: Sequence[RawRecord]) -> None:
        """These were written."""


class Observer(Protocol):
    """Who is told of what was written; see `FrameTraces`."""

    def now(self) -> datetime:
        """When a batch is taken up, UTC."""

    def written(self, records: Sequence[Record[Any]], since: datetime) -> None:
        """These are in the tables; never blocks."""


class Unobserved:
    """Nobody is told."""

    def now(self) -> datetime:
        """The present, UTC."""
        return datetime.now(UTC)

    def written(self, records: Sequence[Record[Any]], since: datetime) -> None:
        """Nobody listens."""


class BatchWriter:
    """Decodes a batch, and writes it in one transaction with its offsets.

    A record that cannot be decoded, or that the database refuses, is a dead letter; the others of
    its batch are written, and the partition moves on. A refused frame is booked as failed.
    """

    def __init__(
        self,
        *,
        reader: PositionedReader,
        store: BatchStore,
        pictures: PictureStore,
        dead_letters: DeadLetters,
        codec: Codec,
        catalogue_name: Callable[[str], str],
        observer: Observer | None = None,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._store = store
        self._pictures = pictures
        self._dead_letters = dead_letters
        self._codec = codec
        self._name = catalogue_name
        self._observer = observer or Unobserved()
        self._since = self._observer.now()
        self._clock = clock
        self._log = get_logger("writer")
        self._parked: set[tuple[str, int, int]] = set()

    def write(self, records: Sequence[RawRecord]) -> None:
        """Write what is still due of these records; again without another effect.

        Raises:
            TransientError: the database, the object store or the broker is away.
            FencedError: another writer moved a partition on; nothing more was written.
        """
        self._since = self._observer.now()
        self._write(records)
        self._parked.clear()

    def _write(self, records: Sequence[RawRecord]) -> None:
        records = self._reader.due(records)
        if not records:
            return
        try:
            decoded = [record for record in map(self._decode, records) if record is not None]
            changes = changes_of([(self._name(record.topic), record) for record in decoded])
            self._pictures.upload(decoded)
            told = [event_row(event) for event in self._reader.missing]
            changes.rows[EVENTS] = [*changes.rows.get(EVENTS, []), *told]
            self._commit(records, changes)
            self._reader.missing.clear()
            self._observer.written(decoded, self._since)
            self._dead_letters.accepted([r for r in records if _place(r) not in self._parked])
        except (UnstorableError, ValueError) as error:
            if len(records) == 1:
                self._refuse(records[0], str(error))
            else:
                half = len(records) // 2
                self._write(records[:half])
                self._write(records[half:])

    def _decode(self, raw: RawRecord) -> Record[Any] | None:
        if self._name(raw.topic) == DEAD_LETTERS:
            return replace(cast("Record[Any]", raw), event=self._dead_frame(raw))
        try:
            event = None if raw.event is None else self._codec.decode(raw.topic, raw.event)
        except RejectedRecordError as error:
            self._park(raw, str(error))
            return None
        return replace(raw, event=event)

    def _dead_frame(self, raw: RawRecord) -> DeadFrame:
        """What a dead letter claims; its bytes stay closed."""
        try:
            at = raw.timestamp or self._clock.now()
            return DeadFrame(entry_of_dead_letter(raw.headers, at))
        except ValueError as error:
            self._log.error("dead_letter_unreadable", offset=raw.offset, message=str(error))
            return DeadFrame(None)

    def _refuse(self, raw: RawRecord, reason: str) -> None:
        with handling([raw]):
            self._refused(raw, reason)

    def _refused(self, raw: RawRecord, reason: str) -> None:
        self._park(raw, f"unstorable: {reason}")
        try:
            self._commit([raw], self._failed(raw))
        except UnstorableError:
            self._commit([raw], Changes())

    def _failed(self, raw: RawRecord) -> Changes:
        """What the ledger shall say of a frame whose result cannot be stored."""
        record = self._decode(raw)
        if record is None or not isinstance(record.event, FrameResult):
            return Changes()
        if record.event.frame.sequence_number < 0:
            return Changes()
        entry = entry_of_result(record.event)
        return Changes(entries=[replace(entry, outcome=str(Outcome.FAILED), reason="unstorable")])

    def _commit(self, records: Sequence[RawRecord], changes: Changes) -> None:
        moves = self._reader.moves(records)
        self._store.apply(moves, changes)
        self._reader.advance(moves)

    def _park(self, raw: RawRecord, reason: str) -> None:
        if self._name(raw.topic) == DEAD_LETTERS:  # a letter about a letter would never end
            self._log.error("dead_letter_refused", offset=raw.offset, message=reason)
        elif _place(raw) not in self._parked:
            self._dead_letters.park(raw, reason)
            self._parked.add(_place(raw))


def _place(raw: RawRecord) -> tuple[str, int, int]:
    return raw.topic, raw.partition, raw.offset


class Writer:
    """Runs batches until it is told to stop; a passing failure is tried again, paused meanwhile."""

    def __init__(
        self,
        *,
        reader: PositionedReader,
        batches: BatchWriter,
        retry: RetryPolicy,
        clock: Clock,
        heartbeat: Heartbeat,
        metrics: WorkerMetrics,
        max_records: int,
        max_wait: timedelta,
    ) -> None:
        self._reader = reader
        self._batches = batches
        self._retry = retry
        self._clock = clock
        self._heartbeat = heartbeat
        self._metrics = metrics
        self._max_records = max_records
        self._max_wait = max_wait
        self._failures = 0
        self._fences = 0
        self._lag_due = clock.monotonic() + _LAG_SECONDS
        self._problem: str | None = None
        self._log = get_logger("writer")

    def run(self, topics: Sequence[str], stop: threading.Event) -> None:
        """Join the group and write until `stop` is set; the batch in hand is finished.

        Raises:
            TransientError: the retry policy gave up.
            FencedError: another writer holds the same partitions and does not let go.
        """
        self._reader.subscribe(topics)
        while not stop.is_set():
            self.turn()

    def turn(self) -> None:
        """One batch, or one failure and the wait after it."""
        self._heartbeat.beat()
        try:
            self._batch()
        except FencedError as error:
            self._fenced(error)
        except TransientError as error:
            self._failed(error)
        else:
            self._failures = self._fences = 0
            self._problem = None

    def check(self) -> str | None:
        """What keeps the writer from writing, or nothing."""
        return self._problem or (None if self._reader.assigned else "no partitions assigned yet")

    def _batch(self) -> None:
        self._reader.join()
        if self._clock.monotonic() >= self._lag_due:
            self._lag_due = self._clock.monotonic() + _LAG_SECONDS
            for partition, records in self._reader.lag().items():
                self._metrics.lag(partition, records)
        if not self._reader.pending:
            self._reader.read(self._max_records, self._max_wait)
        count = len(self._reader.pending)
        if count:
            started = self._clock.monotonic()
            self._batches.write(self._reader.pending)
            self._reader.pending = []
            self._metrics.consumed("store", count)
            self._metrics.processed(count, self._clock.monotonic() - started)

    def _fenced(self, error: FencedError) -> None:
        self._fences += 1
        if self._fences > MAX_FENCES:
            raise error
        self._log.warning("fence_lost", message=str(error))
        self._reader.forget(error.partitions)

    def _failed(self, error: TransientError) -> None:
        self._failures += 1
        self._metrics.retried(self._failures)
        self._problem = str(error)
        decision = self._retry.decide(self._failures)
        if decision is None:
            raise error
        self._log.warning("batch_failed", message=str(error), failures=self._failures)
        self._reader.hold(decision.delay)
