"""Identifiers of pushed frames: a repetition is told what the first frame with its name was."""

import asyncio
from datetime import timedelta
from typing import Any

from mesh.clock import Clock
from mesh.events import Answer
from results.adapters.live_answers import Answers
from results.adapters.patience import Patience, tidily
from results.domain.answers import model_timeout, stands
from results.domain.frames import Push
from results.domain.queries import FirstFrame
from results.ports import FrameIdentifiers

REPEATED_FOR = timedelta(seconds=5)
"""How long after its answer a frame identifier is remembered (specification, 4.3.3)."""
UNANSWERED_FOR = timedelta(seconds=60)
"""How long after its deadline a frame may still be answered: a stage that died is replaced."""
_LOOK_SECONDS = 0.05
_ASK_SECONDS = (0.05, 1.0)
"""Between two looks at the database, at first and at most."""


class FrameClaims:
    """Claims identifiers for requests; one frame has an identifier at a time.

    A claim is given back only if its frame can no longer have a result: it was never published, or
    the mesh gave it up. Else it holds until the frame is answered, or `UNANSWERED_FOR` after its
    deadline, so that who was told 504 or lost the connection asks for the same frame again.
    Lives in one event loop.
    """

    def __init__(self, identifiers: FrameIdentifiers, answers: Answers, clock: Clock) -> None:
        self._identifiers = identifiers
        self._answers = answers
        self._clock = clock
        self._held: dict[str, bool] = {}

    async def first(self, push: Push, patience: Patience) -> dict[str, Any] | Answer | None:
        """Claim the frame's identifier; what was answered to the first frame that had it.

        A first frame that another gateway took is answered from what the mesh said, even if that
        gateway is gone. A repetition takes the place of a first frame that the mesh gave up.

        Raises:
            ApiError: The first frame was not answered within this request's time.
        """
        request_id, camera_id, frame_id = _names(push)
        pause, longest = _ASK_SECONDS
        while patience.left > 0:
            held = await patience.blocking("database", self._claim, push, patience)
            if held is None:
                self._held[request_id] = False
                return None
            if held.response is not None:
                return held.response
            answer = await self._heard(held.request_id, min(pause, patience.left))
            if answer is not None and stands(answer):
                return answer
            if answer is not None:
                await self._release(held.request_id, camera_id, frame_id)
            pause = min(2 * pause, longest)
        raise model_timeout(frame_id, push.request.timeout_ms)

    def sent(self, push: Push) -> None:
        """The mesh may answer the frame from now on."""
        if push.request.request_id in self._held:
            self._held[push.request.request_id] = True

    def may_come(self, push: Push) -> bool:
        """Whether the frame may still have a result."""
        return self._held.get(push.request.request_id, False)

    def given_up(self, push: Push) -> None:
        """The frame has no result and will have none."""
        if push.request.request_id in self._held:
            self._held[push.request.request_id] = False

    async def settle(self, push: Push, body: dict[str, Any] | None) -> None:
        """Keep the answer for repeated frames; without one give the claim back, if that is safe."""
        names = _names(push)
        may_come = self._held.pop(push.request.request_id, False)
        if body is not None:
            until = self._clock.now() + REPEATED_FOR
            work = self._identifiers.answered
            await tidily(self._monotonic, "repetition_unknown", work, *names, body, until)
        elif not may_come:
            await self._release(*names)

    def _claim(self, push: Push, patience: Patience) -> FirstFrame | None:
        request_id, camera_id, frame_id = _names(push)
        until = push.deadline + UNANSWERED_FOR
        held = self._identifiers.claim(camera_id, frame_id, request_id=request_id, until=until)
        if held is None and not patience.left:
            self._identifiers.release(request_id, camera_id, frame_id)
            raise TimeoutError  # nobody waits for it any more
        return held

    def _monotonic(self) -> float:
        return self._clock.monotonic()

    async def _release(self, request_id: str, camera_id: str, frame_id: str) -> None:
        work = self._identifiers.release
        event = "claim_left_to_expire"
        await tidily(self._monotonic, event, work, request_id, camera_id, frame_id)

    async def _heard(self, request_id: str, seconds: float) -> Answer | None:
        """What the mesh said to a request, waiting for it a little."""
        for _ in range(max(1, round(seconds / _LOOK_SECONDS))):
            if (answer := self._answers.recent(request_id)) is not None:
                return answer
            await asyncio.sleep(min(seconds, _LOOK_SECONDS))
        return self._answers.recent(request_id)


def _names(push: Push) -> tuple[str, str, str]:
    return push.request.request_id, push.origin.camera_id, push.frame_id or ""
