"""Records that cannot be written, as dead letters."""

from collections.abc import Sequence
from datetime import timedelta

from mesh.deadletters import DeadLetterLimit, DeadLetters
from mesh.ports import Producer, WorkerMetrics
from mesh.record import RawRecord

_FLUSH = timedelta(seconds=10)


class Parking:
    """Writes dead letters, waits for the broker, and knows when they are too many."""

    def __init__(
        self,
        letters: DeadLetters,
        producer: Producer,
        *,
        limit: DeadLetterLimit,
        metrics: WorkerMetrics,
    ) -> None:
        self._letters = letters
        self._producer = producer
        self._limit = limit
        self._metrics = metrics

    def park(self, record: RawRecord, reason: str) -> None:
        """Return once the broker has the record.

        Raises:
            TransientError: the broker is away; it may be parked again.
            DeadLetterLimitError: so many were parked that this deployment must be bad.
        """
        self._letters.write(record, record.event, reason)
        self._producer.flush(_FLUSH)
        self._metrics.rejected(reason)
        self._limit.rejected(record.key)

    def accepted(self, records: Sequence[RawRecord]) -> None:
        """These were written."""
        for record in records:
            self._limit.accepted(record.key)
