"""Sessions of clients that push, and what is said of them when nobody speaks for them."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.events import (
    Camera,
    DetectionConfig,
    Lane,
    Overload,
    Priority,
    StreamConfig,
    StreamState,
    StreamType,
)
from mesh.testing import NOON, a_camera
from results.adapters.name_service import within
from results.domain.endings import Ending
from results.domain.frames import Picture
from results.domain.picture import PictureHeader
from results.domain.pushed import RING, Pushed, PushSession, lane_of

PICTURE = Picture(data=b"picture", header=PictureHeader("jpeg", 64, 48))
PUSHED = Pushed(picture=PICTURE, received=NOON, taken_at=None)
GONE = Ending(code=1000, reason="the client went away")


def a_pushed_camera(**detection: object) -> Camera:
    config = DetectionConfig(**detection)  # type: ignore[arg-type]
    return a_camera(stream=StreamConfig(stream_type=StreamType.WEBSOCKET), detection=config)


def a_session(camera: Camera) -> PushSession:
    return PushSession(camera, instance_id="one", client="phone", now=NOON, monotonic=0.0)


@pytest.mark.parametrize(
    ("detection", "lane"),
    [
        ({}, Lane.LIVE),
        ({"overload": Overload.ALL}, Lane.EVIDENCE),
        ({"priority": Priority.URGENT}, Lane.URGENT),
        ({"overload": Overload.ALL, "priority": Priority.URGENT}, Lane.EVIDENCE),
    ],
)
def test_the_lane_is_that_of_any_camera(detection: dict[str, object], lane: Lane) -> None:
    assert lane_of(a_pushed_camera(**detection).detection) is lane


@pytest.mark.parametrize("overload", Overload)
def test_a_picture_of_an_urgent_camera_grows_old_unless_nothing_may_be_shed(
    overload: Overload,
) -> None:
    session = a_session(a_pushed_camera(overload=overload, priority=Priority.URGENT))
    assert session.offer(PUSHED, NOON)
    (waiting,) = session.epoch.take(1, NOON)
    is_due = waiting.event.frame.deadline is not None
    assert is_due is (overload is Overload.LATEST)


@given(st.integers(0, 3 * RING), st.sampled_from(Overload))
def test_a_client_waits_only_where_nothing_may_be_shed(count: int, overload: Overload) -> None:
    session = a_session(a_pushed_camera(overload=overload))
    accepted = 0
    for _ in range(count):
        if session.waits_for_room:
            break
        accepted += session.offer(PUSHED, NOON)
    every = overload is Overload.ALL
    assert accepted == (min(count, RING) if every else count)
    assert session.waits_for_room is (every and count >= RING)
    dropped = session.statistics.figures(0.0).dropped
    assert dropped == ({} if count <= RING or every else {"ring_full": count - RING})


def test_what_waits_still_leaves_after_the_end_but_nothing_more_is_taken() -> None:
    session = a_session(a_pushed_camera())
    assert session.arrived(PUSHED, 7, 0.0)
    assert not session.arrived(PUSHED, 7, 0.1)
    assert session.offer(PUSHED, NOON)
    session.end(GONE)
    session.end(replace(GONE, error_code="timeout"))
    assert not session.offer(PUSHED, NOON)
    assert len(session.epoch.take(RING, NOON)) == 1
    status = session.status(NOON, 1.0)
    assert (status.state, status.error_count, status.last_error) == (StreamState.STOPPED, 0, None)


def test_a_name_service_that_hangs_is_not_waited_for() -> None:
    hanging = threading.Event()

    def resolve(host: str, _: int) -> Sequence[str]:
        if host == "slow":
            hanging.wait()
        if host == "none":
            raise OSError("no such host")
        return ["192.0.2.1"]

    hurried = within(0.01, resolve)
    assert within(30, resolve)("quick", 80) == ["192.0.2.1"]
    with pytest.raises(OSError, match="no such host"):
        within(30, resolve)("none", 80)
    with pytest.raises(OSError, match="did not answer"):
        hurried("slow", 80)
    hanging.set()
