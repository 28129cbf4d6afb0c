"""Claims of frame identifiers, beside what process-frame shows of them."""

from datetime import datetime

import pytest
from typing_extensions import override

from mesh.clock import ManualClock
from mesh.events import Priority, Purpose
from mesh.testing import a_camera, a_request
from results.adapters.frame_claims import UNANSWERED_FOR, FrameClaims
from results.adapters.live_answers import Answers
from results.adapters.memory_gateway import InMemoryFrameIdentifiers
from results.adapters.patience import Patience
from results.domain.errors import ApiError
from results.domain.frames import Origin, Picture, Push
from results.domain.picture import PictureHeader
from results.domain.queries import FirstFrame


class SlowIdentifiers(InMemoryFrameIdentifiers):
    """A database that takes its time to claim."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__(clock)
        self._manual = clock
        self.seconds = seconds

    @override
    def claim(
        self, camera_id: str, frame_id: str, *, request_id: str, until: datetime
    ) -> FirstFrame | None:
        self._manual.advance(self.seconds)
        return super().claim(camera_id, frame_id, request_id=request_id, until=until)


def a_push(clock: ManualClock, request_id: str = "req_1") -> Push:
    return Push(
        origin=Origin.of_camera(a_camera()),
        picture=Picture(data=b"x", header=PictureHeader("jpeg", 8, 6)),
        purpose=Purpose.PROCESS_FRAME,
        request=a_request(request_id=request_id, timeout_ms=1000),
        priority=Priority.NORMAL,
        received_at=clock.now(),
        frame_id="frame_1",
    )


async def test_a_claim_that_came_too_late_for_its_request_is_given_back() -> None:
    clock = ManualClock()
    identifiers = SlowIdentifiers(clock, 2.0)
    claims = FrameClaims(identifiers, Answers(), clock)
    with pytest.raises(ApiError) as late:
        await claims.first(a_push(clock), Patience(clock.monotonic, 1.0))
    assert (late.value.status, late.value.details["dependency"]) == (503, "database")
    identifiers.seconds = 0.0
    again = a_push(clock, "req_2")
    assert await claims.first(again, Patience(clock.monotonic, 1.0)) is None


async def test_a_frame_that_nobody_answers_is_a_new_one_a_minute_after_its_deadline() -> None:
    clock = ManualClock()
    claims = FrameClaims(InMemoryFrameIdentifiers(clock), Answers(), clock)
    push = a_push(clock)
    assert await claims.first(push, Patience(clock.monotonic, 1.0)) is None
    claims.sent(push)
    await claims.settle(push, None)
    clock.advance(1.0 + UNANSWERED_FOR.total_seconds())
    again = a_push(clock, "req_2")
    assert await claims.first(again, Patience(clock.monotonic, 1.0)) is None
