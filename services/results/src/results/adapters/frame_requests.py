"""Requests through the mesh: publish a picture or a command, wait for its answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.events import Answer
from mesh.identity import new_epoch
from mesh.stage import Output
from mesh.topics import Topics
from results.adapters.frame_claims import FrameClaims
from results.adapters.gate import Gate
from results.adapters.live_answers import Answers
from results.adapters.patience import Patience, tidily
from results.domain.answers import model_timeout, stands
from results.domain.errors import ApiError, AwayError, UnansweredError, away
from results.domain.frames import Push, SourceNumbers, frame_captured, lane_of
from results.domain.idempotency import in_progress
from results.domain.jobs import Job
from results.ports import FrameIdentifiers, Jobs, Publisher

_PUBLISH_SECONDS = 5.0
"""How long the broker may take for what has no deadline of its own."""


@dataclass(frozen=True, slots=True)
class SharedRecords:
    """What all gateways know of requests."""

    identifiers: FrameIdentifiers
    jobs: Jobs


class FrameRequests:
    """Sends pictures and commands into the mesh and brings the answers back.

    Lives in one event loop; what blocks runs in threads.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        answers: Answers,
        records: SharedRecords,
        gate: Gate,
        topics: Topics,
        clock: Clock,
        instance_id: str,
        answer_wait: timedelta = timedelta(seconds=2),
    ) -> None:
        self._publisher = publisher
        self._answers = answers
        self._jobs = records.jobs
        self.claims = FrameClaims(records.identifiers, answers, clock)
        self.gate = gate
        self._topics = topics
        self._clock = clock
        self._instance_id = instance_id
        self._answer_wait = answer_wait
        self._numbers = SourceNumbers()
        answers.listen(gate.answered)

    def patience(self, seconds: float) -> Patience:
        """The time that a client gives a request, from now on."""
        return Patience(self._clock.monotonic, seconds)

    async def process(self, push: Push, headers: dict[str, bytes], patience: Patience) -> Answer:
        """Send a picture and wait for its answer as long as the request says.

        Raises:
            ApiError: The mesh did not take it, or did not answer in time.
        """
        with self._answers.expect(push.request.request_id) as future:
            await self._publish_frame(push, headers, patience)
            answer = await _within(future, patience.left)
        if answer is None:
            raise model_timeout(push.frame_id, push.request.timeout_ms)
        if not stands(answer):
            self.claims.given_up(push)
        return answer

    async def submit(
        self, push: Push, job: Job, headers: dict[str, bytes], patience: Patience
    ) -> None:
        """Write a job down, then send its picture; return once the broker has it.

        Raises:
            ApiError: The database or the mesh did not take it; there is a job only if the mesh may
                still take it.
        """
        await self._open(job, patience)
        await self._submit(push, job, headers, patience)

    async def _submit(
        self, push: Push, job: Job, headers: dict[str, bytes], patience: Patience
    ) -> None:
        try:
            await self._publish_frame(push, headers, patience)
        except ApiError as error:
            await self._forget(job, error)
            raise
        await self._job("job_state_late", self._jobs.started, job)

    async def ask(self, push: Push, job: Job, headers: dict[str, bytes]) -> Answer | None:
        """Send a picture; the answer, or nothing if it takes longer than a client is kept.

        Raises:
            ApiError: It was not taken, or its job is known: the request came before.
        """
        patience = self.patience(_PUBLISH_SECONDS)
        await self._open(job, patience)
        with self._answers.expect(push.request.request_id) as future:
            await self._submit(push, job, headers, patience)
            return await _within(future, self._answer_wait.total_seconds())

    async def command(self, output: Output, job: Job) -> Answer | None:
        """Send a command; the answer, or nothing if it takes longer than a client is kept.

        Raises:
            ApiError: It was not taken, or its job is known: the request came before.
        """
        patience = self.patience(_PUBLISH_SECONDS)
        await self._open(job, patience)
        with self._answers.expect(job.request_id) as future:
            try:
                await self._publish([output], patience)
            except ApiError as error:
                await self._forget(job, error)
                raise
            await self._job("job_state_late", self._jobs.started, job)
            return await _within(future, self._answer_wait.total_seconds())

    async def tell(self, output: Output) -> None:
        """Send a command that nobody answers; return once the broker has it.

        Raises:
            ApiError: The mesh did not take it.
        """
        await self._publish([output], self.patience(_PUBLISH_SECONDS))

    async def report(self, *, closing: bool = False) -> None:
        """Tell the frame ledger what was pushed since the last report.

        Raises:
            TransientError: The broker did not take it; the next report tells it. What is told
                twice does no harm.
        """
        now = self._clock.now()
        entries = self._numbers.report(instance_id=self._instance_id, now=now, closing=closing)
        topic = self._topics("ledger")
        outputs = [Output(topic, entry.camera_id, entry) for entry in entries]
        try:
            await asyncio.to_thread(self._publisher.publish, outputs)
        except BaseException:  # a report that is cancelled is told later too
            self._numbers.unreported(entries)
            raise

    async def _publish_frame(
        self, push: Push, headers: dict[str, bytes], patience: Patience
    ) -> None:
        self.gate.enter(push)
        lane, camera_id = lane_of(push.priority), push.origin.camera_id
        number = self._numbers.take(camera_id, lane, new_epoch(self._clock.now()))
        event = frame_captured(push, number, instance_id=self._instance_id, now=self._clock.now())
        acknowledged = False
        self.claims.sent(push)
        try:
            output = Output(self._topics.lane(lane), camera_id, event, headers)
            await self._publish([output], patience)
            acknowledged = True
        except ApiError as error:
            # A client that waits too briefly for the broker is no failure of the pipeline.
            if not isinstance(error.__cause__, TimeoutError):
                self.gate.failed(push.request.request_id)
            if not _may_come(error):
                self.claims.given_up(push)
            raise
        finally:
            self._numbers.settle(number, lane=lane, acknowledged=acknowledged)

    async def _publish(self, outputs: list[Output], patience: Patience) -> None:
        try:
            await patience.blocking("broker", self._publisher.publish, outputs)
        except MeshError as error:
            dependency = error.dependency if isinstance(error, AwayError) else "broker"
            raise away(dependency, str(error)) from error

    async def _open(self, job: Job, patience: Patience) -> None:
        """Write a job down, before anybody waits for its answer: another may do so already."""
        if not await patience.blocking("database", self._jobs.open, job):
            raise in_progress(job)

    async def _job(self, event: str, work: Callable[[str], None], job: Job) -> None:
        await tidily(self._clock.monotonic, event, work, job.job_id)

    async def _forget(self, job: Job, error: ApiError) -> None:
        """Forget the job of a request that was not sent; one that may have been is left."""
        if not _may_come(error):
            await self._job("job_left_to_its_deadline", self._jobs.drop, job)


def _may_come(error: ApiError) -> bool:
    """Whether the broker may still take what it did not acknowledge."""
    return isinstance(error.__cause__, TimeoutError | UnansweredError)


async def _within(future: "asyncio.Future[Answer]", seconds: float) -> Answer | None:
    try:
        return await asyncio.wait_for(future, seconds)
    except TimeoutError:
        return None
