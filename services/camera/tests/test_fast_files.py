"""A file that is read as fast as possible waits for the broker, and loses nothing by its speed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.camera.tests.doubles import FakeSource, Setting, frames, until

from camera.stage import CameraStage
from mesh.events import Camera, Lane, Overload, StreamConfig, StreamType
from mesh.source.epoch import Epoch
from mesh.source.ring import Allowance, RingLimits
from mesh.source.statistics import Statistics
from mesh.testing import CAMERA_ID, NOON, a_camera, a_detection_config, a_frame_captured


def a_file(pace: str | None, overload: Overload) -> Camera:
    stream = StreamConfig(stream_type=StreamType.FILE, url="clip.mp4", pace=pace)
    return a_camera(stream=stream, detection=a_detection_config(overload=overload))


@pytest.mark.parametrize(("overload", "ahead"), [(Overload.ALL, 20), (Overload.LATEST, 10)])
async def test_a_fast_file_waits_until_its_frames_have_left(
    stage: CameraStage, setting: Setting, overload: Overload, ahead: int
) -> None:
    source = FakeSource(frames(100))
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_file("fast", overload))
    await until(lambda: setting.frames.epochs)
    (epoch,) = setting.frames.epochs
    await until(lambda: epoch.waiting[0] == ahead)
    assert not source.idle
    left: list[int] = []

    def has_left() -> bool:
        for waiting in epoch.take(10, NOON):
            epoch.acknowledge(waiting.sequence)
            left.append(waiting.sequence)
        return len(left) == 100

    await until(has_left)
    assert left == list(range(100))


async def test_a_fast_file_that_waits_can_be_ended(stage: CameraStage, setting: Setting) -> None:
    source = FakeSource(frames(100))
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_file("fast", Overload.ALL))
    await until(lambda: setting.frames.epochs and setting.frames.epochs[0].waiting[0] == 20)
    stage.changed(CAMERA_ID, None)
    await until(lambda: source.closed)
    assert setting.frames.epochs[0].waiting[0] in {20, 21}, "the one in hand may still come"


async def test_a_paced_file_does_not_wait(stage: CameraStage, setting: Setting) -> None:
    source = FakeSource(frames(100))
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_file(None, Overload.LATEST))
    await until(lambda: source.idle)
    assert len(setting.frames.epochs) == 1


@given(
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(0, 100)),
    st.one_of(st.none(), st.integers(0, 100)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=30),
)
def test_where_there_is_room_a_frame_pushes_none_out(
    count: int, size: int | None, shared: int | None, steps: list[tuple[bool, int]]
) -> None:
    """Even when everything that was on its way comes back."""
    limits = RingLimits(frames=count, size=size, shared=Allowance(size=shared))
    statistics = Statistics()
    epoch = Epoch(CAMERA_ID, 1, Lane.EVIDENCE, limits=limits, statistics=statistics)
    for taken, length in steps:
        if epoch.has_room(length, 100):
            event = a_frame_captured(image=bytes(length))
            epoch.offer(dict.fromkeys(range(30), event).__getitem__)
        if taken:
            for waiting in epoch.take(2, NOON):
                epoch.give_back(waiting.sequence)
    assert not statistics.figures(0.0).dropped
