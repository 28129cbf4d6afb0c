"""What the agent does with one record, and the timer with a camera that fell silent."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from aggregator.adapters.acknowledgements import Acknowledgements
from aggregator.adapters.publisher import Encoded, Publisher
from aggregator.adapters.rejects import Rejects
from aggregator.adapters.silence import SilenceWatch
from aggregator.domain.state import CameraState
from aggregator.ports import CameraStates, Reducer, Step
from mesh.clock import Clock
from mesh.errors import ConfigurationError, RejectedRecordError, TransientError
from mesh.events import FrameRecognized
from mesh.logs import get_logger, handling
from mesh.ports import Codec
from mesh.record import RawRecord, Record
from mesh.retry import RetryPolicy
from mesh.tracing import child_headers

PATIENT = RetryPolicy(maximum=timedelta(seconds=2), attempts=None)
"""The registry is waited for, however long."""


class Aggregation:
    """Decode, reduce, save, publish; then wait for the broker and only then let the offset go.

    The local table is written before the outputs leave. Whatever was interrupted is repeated when
    the record is delivered again: from a state that has seen it with the same bytes, from one that
    has not by the same reduction.
    """

    def __init__(  # noqa: PLR0913 -- the parts list of the application, keywords only
        self,
        *,
        stage: Reducer,
        table: CameraStates,
        codec: Codec,
        publisher: Publisher,
        rejects: Rejects,
        acknowledgements: Acknowledgements,
        watch: SilenceWatch,
        clock: Clock,
        retry: RetryPolicy = PATIENT,
    ) -> None:
        self._retry = retry
        self._problem: str | None = None
        self._stage = stage
        self._table = table
        self._codec = codec
        self._publisher = publisher
        self._rejects = rejects
        self._acknowledgements = acknowledgements
        self._watch = watch
        self._clock = clock
        self._log = get_logger("aggregation")
        self._turn = asyncio.Lock()

    async def take(self, raw: RawRecord, done: Callable[[], object]) -> None:
        """Work on a record; `done` is called once everything that it caused is durable.

        Raises:
            DeadLetterLimitError: So many records are rejected that the process must end.
            MeshError: The configuration stands in the way, or the retry policy gave up.
        """
        async with self._turn:
            with handling([raw]):
                pending = await self._patiently(raw, self._clock.now())
        await self._acknowledgements.put(pending, done)

    async def close_silent(self, caught_up: Callable[[int], bool]) -> None:
        """Close the sightings of cameras that fell silent; durable when it returns.

        Args:
            caught_up: Whether this process owns a partition and has read it to its end.
        """
        for partition, camera_id in self._watch.due():
            if not caught_up(partition):
                continue
            async with self._turn:
                if not self._watch.is_due(partition, camera_id):
                    continue
                with self._table.acting_in(partition):
                    step = self._stage.close_silent(self._table.load(camera_id), camera_id)
                    await self._table.save(camera_id, step.state)
                self._watch.forget(partition, camera_id)
                await self._publish(step)

    async def forget(
        self,
        partition: int,
        camera_id: str,
        is_gone: Callable[[str, CameraState], bool],
        caught_up: Callable[[int], bool],
    ) -> bool:
        """Forget a camera unless a record came meanwhile; durable when it returns.

        Args:
            partition: Of the camera.
            camera_id: The camera.
            is_gone: Whether a camera in this state is to be forgotten.
            caught_up: Whether this process owns a partition and no record of it can come again.

        Returns:
            Whether it was forgotten.
        """
        async with self._turn:
            if not caught_up(partition):
                return False
            with self._table.acting_in(partition):
                if not is_gone(camera_id, self._table.load(camera_id)):
                    return False
                forgotten = self._table.forget(camera_id)
            self._watch.forget(partition, camera_id)
            await forgotten
            return True

    async def resume(self, partition_of: Callable[[str], int]) -> None:
        """Take up newly owned cameras: watch the open ones, repeat what silence has closed."""
        self._watch.clear()
        for camera_id, state in list(self._table.items()):
            self._watch.note(partition_of(camera_id), camera_id, is_open=state.is_open)
            await self._publish(Step(state, self._stage.closed_by_silence(state, camera_id)))

    def check(self) -> str | None:
        """What the record in hand waits for, or nothing; for readiness."""
        return self._problem

    async def _patiently(self, raw: RawRecord, started_at: datetime) -> Sequence[Awaitable[object]]:
        """React once the registry answers; nothing is stored or sent before it has."""
        failures = 0
        while True:
            try:
                reaction = await self._react(raw, started_at)
            except TransientError as error:
                failures += 1
                decision = self._retry.decide(failures)
                if decision is None:
                    raise
                self._problem = str(error)
                self._log.warning("record_waits", message=str(error), failures=failures)
                await asyncio.sleep(decision.delay.total_seconds())
            else:
                self._problem = None
                return reaction

    async def _publish(self, step: Step) -> None:
        records = self._publisher.encode(step.outputs, child_headers({}))
        await asyncio.gather(*await self._publisher.send(records))

    async def _react(self, raw: RawRecord, started_at: datetime) -> Sequence[Awaitable[object]]:
        try:
            record = self._decode(raw)
        except RejectedRecordError as error:
            return await self._publisher.send(self._rejects.letter(raw, raw.event, str(error)))
        camera_id = record.event.frame.camera_id
        before = self._table.load(camera_id)
        step, records = self._reduce(before, record, raw, started_at)
        if not records:
            return ()
        saved = self._table.save(camera_id, step.state)
        self._watch.note(raw.partition, camera_id, is_open=step.state.is_open)
        return [saved, *await self._publisher.send(records)]

    def _decode(self, raw: RawRecord) -> Record[FrameRecognized]:
        if raw.event is None:
            raise RejectedRecordError("tombstone: a frame cannot be deleted")
        record: Any = replace(raw, event=self._codec.decode(raw.topic, raw.event))
        return cast("Record[FrameRecognized]", record)

    def _reduce(
        self,
        state: CameraState,
        record: Record[FrameRecognized],
        raw: RawRecord,
        started_at: datetime,
    ) -> tuple[Step, Sequence[Encoded]]:
        headers = child_headers(record.headers)
        reason = "poison: repeated"
        try:
            step = self._stage.process(state, record, started_at)
            records = self._publisher.encode(step.outputs, headers)
        except (ConfigurationError, TransientError):
            raise
        except Exception as error:  # noqa: BLE001 -- a pure reducer fails each time: poison
            self._log.exception("frame_poisoned", frame={"key": record.event.frame.frame_key})
            reason = f"poison: {error!r}"
            step = self._stage.poison(state, record, started_at)
            records = self._publisher.encode(step.outputs, headers)
        if step.poisoned:
            return step, [*records, *self._rejects.letter(record, raw.event, reason)]
        self._rejects.accepted(record.key)
        return step, records
