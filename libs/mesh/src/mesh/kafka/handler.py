"""From records to what became of them: the stage's answers, rejects and records given up."""

import logging
from collections.abc import Sequence
from typing import Any

from mesh.clock import Clock
from mesh.deadletters import DeadLetterLimit
from mesh.errors import RejectedRecordError
from mesh.kafka.lane import Consumed
from mesh.kafka.outbox import Outbox, Settled
from mesh.ports import WorkerMetrics
from mesh.stage import Emit, Reject, Stage
from mesh.watchdog import Watchdog

_log = logging.getLogger(__name__)
POISON = "poison"
TOO_LARGE = "output_too_large"


class Handler:
    """Asks the stage, and sees to it that every record ends in outputs, a dead letter or both."""

    def __init__(
        self,
        *,
        stage: Stage[Any],
        outbox: Outbox,
        limit: DeadLetterLimit,
        metrics: WorkerMetrics,
        clock: Clock,
        attempts: int,
        watchdog: Watchdog,
    ) -> None:
        self._stage = stage
        self._outbox = outbox
        self._limit = limit
        self._metrics = metrics
        self._clock = clock
        self._attempts = attempts
        self._watchdog = watchdog

    def process(self, batch: Sequence[Consumed]) -> list[Settled]:
        """Let the stage work on what is still ours.

        A stage that raises `RejectedRecordError` for a batch is asked again record by record.

        Raises:
            TransientError: nothing about the records is wrong; the call may be repeated.
            DeadLetterLimitError: too many records were rejected.
        """
        mine = [record for record in batch if record.owned]
        if not mine:
            return []
        started = self._clock.monotonic()
        try:
            with self._watchdog:
                outcomes = self._stage.process(mine)
        except RejectedRecordError as error:
            if len(mine) > 1:
                return [settled for record in mine for settled in self.process([record])]
            outcomes = [Reject(str(error))]
        self._metrics.processed(len(mine), self._clock.monotonic() - started)
        return [self._settle(*pair) for pair in zip(mine, outcomes, strict=True)]

    def process_suspect(self, record: Consumed, attempt: int) -> list[Settled]:
        """Let the stage work on a record once more, unless it has had its attempts.

        Raises:
            TransientError: nothing about the record is wrong; the call may be repeated.
            DeadLetterLimitError: too many records were rejected.
        """
        if attempt < self._attempts:
            return self.process([record])
        _log.error("%s at offset %d ended its process, given up", record.source, record.offset)
        self._limit.rejected(record.key)
        letter = f"{POISON}: ended its process {attempt - 1} times"
        if attempt > self._attempts:  # so did giving it up
            return [Settled(record, letter=letter)]
        return self.give_up([record], "failed", POISON, letter)

    def reject(self, record: Consumed, reason: str) -> Settled:
        """Make a dead letter of a record that the stage never sees.

        Raises:
            DeadLetterLimitError: too many records were rejected.
        """
        self._limit.rejected(record.key)
        return Settled(record, letter=reason)

    def give_up(
        self, batch: Sequence[Consumed], outcome: str, reason: str, letter: str | None = None
    ) -> list[Settled]:
        """Let the stage say what becomes of records that it will not process.

        Raises:
            TransientError: the call may be repeated.
        """
        mine = [record for record in batch if record.owned]
        if not mine:
            return []
        with self._watchdog:
            answers = self._stage.give_up(mine, outcome, reason)
        return [self._let_go(*pair, letter) for pair in zip(mine, answers, strict=True)]

    def _let_go(self, record: Consumed, answer: Emit | Reject, letter: str | None) -> Settled:
        if isinstance(answer, Reject):
            return Settled(record, letter=letter or answer.reason)
        return Settled(record, self._outbox.pack(record.headers, answer.outputs), letter)

    def _settle(self, record: Consumed, outcome: Emit | Reject) -> Settled:
        if isinstance(outcome, Reject):
            return self.reject(record, outcome.reason)
        try:
            parcels = self._outbox.pack(record.headers, outcome.outputs)
        except RejectedRecordError as error:
            (settled,) = self.give_up([record], "failed", TOO_LARGE, str(error))
            return settled
        self._limit.accepted(record.key)
        return Settled(record, parcels)
