"""Requests through the mesh: publish a picture or a command, wait for its answer."""

import asyncio
from datetime import timedelta
from typing import Any

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.events import Answer
from mesh.identity import new_epoch
from mesh.stage import Output
from mesh.topics import Topics
from results.adapters.live_answers import Answers
from results.domain.answers import model_timeout
from results.domain.errors import ApiError, invalid, unavailable
from results.domain.frames import Picture, Push, SourceNumbers, frame_captured, lane_of
from results.domain.picture import INLINE_BYTES, check_picture
from results.ports import FrameIdentifiers, PictureEditor, Publisher

DUPLICATE_FOR = timedelta(seconds=5)
"""How long a frame identifier is remembered (specification, 4.3.3)."""
_ASK_AGAIN_SECONDS = 0.05


class FrameRequests:
    """Sends pictures and commands into the mesh and brings the answers back.

    Lives in one event loop; what blocks runs in threads.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        answers: Answers,
        identifiers: FrameIdentifiers,
        editor: PictureEditor,
        topics: Topics,
        clock: Clock,
        instance_id: str,
        answer_wait: timedelta = timedelta(seconds=2),
    ) -> None:
        self._publisher = publisher
        self._answers = answers
        self._identifiers = identifiers
        self._editor = editor
        self._topics = topics
        self._clock = clock
        self._instance_id = instance_id
        self._answer_wait = answer_wait
        self._numbers = SourceNumbers()

    async def accept(self, data: bytes, *, field: str, declared: str | None = None) -> Picture:
        """Check a pushed picture and make it small enough to travel.

        Raises:
            ApiError: It is missing, unreadable, too large, or not of the declared format.
        """
        header = check_picture(data, field=field, declared=declared)
        if len(data) <= INLINE_BYTES:
            return Picture(data=data, header=header)
        try:
            smaller = await asyncio.to_thread(self._editor.shrink, data, INLINE_BYTES)
        except ValueError as error:
            message = f"{field} cannot be decoded: {error}"
            raise invalid(
                "IMAGE_UNREADABLE", message, field=field, limit="a whole JPEG or PNG"
            ) from error
        if smaller is None:
            message = f"{field} does not fit {INLINE_BYTES} bytes even as a poor JPEG"
            raise ApiError(413, "IMAGE_TOO_LARGE", message, field=field, limit=INLINE_BYTES)
        return Picture(data=smaller, header=check_picture(smaller, field=field))

    async def process(self, push: Push, headers: dict[str, bytes]) -> Answer:
        """Send a picture and wait for its answer as long as the request says.

        Raises:
            ApiError: The mesh did not take it, or did not answer in time.
        """
        wait = timedelta(milliseconds=push.request.timeout_ms)
        answer = await self._send(push, headers, wait)
        if answer is None:
            raise model_timeout(push.frame_id, push.request.timeout_ms)
        return answer

    async def ask(self, push: Push, headers: dict[str, bytes]) -> Answer | None:
        """Send a picture; the answer, or nothing if it takes longer than a client is kept."""
        self._answers.remember(push.request.request_id)
        return await self._send(push, headers, self._answer_wait)

    async def command(self, output: Output, request_id: str) -> Answer | None:
        """Send a command; the answer, or nothing if it takes longer than a client is kept."""
        self._answers.remember(request_id)
        with self._answers.expect(request_id) as future:
            await self._publish([output])
            return await _within(future, self._answer_wait)

    async def first(self, push: Push) -> dict[str, Any] | None:
        """Claim the frame's identifier; what was answered to the first frame that had it.

        Raises:
            ApiError: The first frame was not answered within this request's time.
        """
        frame_id, camera_id = push.frame_id or "", push.origin.camera_id
        give_up = self._clock.monotonic() + push.request.timeout_ms / 1000
        while self._clock.monotonic() < give_up:
            held = await asyncio.to_thread(
                self._identifiers.claim,
                camera_id,
                frame_id,
                request_id=push.request.request_id,
                until=self._clock.now() + DUPLICATE_FOR,
            )
            if held is None:
                return None
            if held.response is not None:
                return held.response
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        raise model_timeout(frame_id, push.request.timeout_ms)

    async def settle(self, push: Push, body: dict[str, Any] | None) -> None:
        """Keep the answer for repeated frames, or give the claim back if there is none."""
        request_id, camera_id = push.request.request_id, push.origin.camera_id
        frame_id = push.frame_id or ""
        if body is None:
            await asyncio.to_thread(self._identifiers.release, request_id, camera_id, frame_id)
        else:
            await asyncio.to_thread(
                self._identifiers.answered, request_id, camera_id, frame_id, body
            )

    async def report(self, *, closing: bool = False) -> None:
        """Tell the frame ledger what was pushed since the last report.

        Raises:
            TransientError: The broker did not take it; nothing is told twice to its harm.
        """
        now = self._clock.now()
        entries = self._numbers.report(instance_id=self._instance_id, now=now, closing=closing)
        topic = self._topics("ledger")
        outputs = [Output(topic, entry.camera_id, entry) for entry in entries]
        await asyncio.to_thread(self._publisher.publish, outputs)

    async def _send(self, push: Push, headers: dict[str, bytes], wait: timedelta) -> Answer | None:
        lane = lane_of(push.priority)
        number = self._numbers.take(push.origin.camera_id, lane, new_epoch(self._clock.now()))
        event = frame_captured(push, number, instance_id=self._instance_id, now=self._clock.now())
        output = Output(self._topics.lane(lane), push.origin.camera_id, event, headers)
        with self._answers.expect(push.request.request_id) as future:
            acknowledged = False
            try:
                await self._publish([output])
                acknowledged = True
            finally:
                self._numbers.settle(number, lane=lane, acknowledged=acknowledged)
            return await _within(future, wait)

    async def _publish(self, outputs: list[Output]) -> None:
        try:
            await asyncio.to_thread(self._publisher.publish, outputs)
        except MeshError as error:
            message = "the mesh does not take requests at the moment"
            raise unavailable("MESH_UNAVAILABLE", message, reason=str(error)) from error


async def _within(future: "asyncio.Future[Answer]", wait: timedelta) -> Answer | None:
    try:
        return await asyncio.wait_for(future, wait.total_seconds())
    except TimeoutError:
        return None
