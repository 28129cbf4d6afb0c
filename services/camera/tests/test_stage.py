import asyncio
import threading
from dataclasses import replace

import pytest
from services.camera.tests.doubles import (
    FakeFrame,
    FakeSource,
    Setting,
    a_live_camera,
    an_error,
    frames,
    until,
)
from services.camera.tests.patience import PATIENT
from typing_extensions import override

from camera.domain.capture import Capture
from camera.domain.life import ErrorCode
from camera.stage import CameraStage
from camera.stage.connection import Connection, Hooks
from camera.stage.parts import wait_for_event
from camera.stage.stream import Stream
from mesh.events import (
    INLINE_BYTES,
    Camera,
    Lane,
    Overload,
    Priority,
    StreamConfig,
    StreamState,
    StreamType,
)
from mesh.identity import frame_key
from mesh.testing import (
    CAMERA_ID,
    NOON,
    a_camera,
    a_detection_config,
    a_frame_captured,
    a_frame_header,
)

OTHER_ID = "cam_00000000-0000-4000-8000-000000000002"


def threads_of(camera_id: str) -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == f"camera-{camera_id[-12:]}"]


async def test_nothing_is_connected_before_the_whole_registry_is_known(setting: Setting) -> None:
    stage = CameraStage(setting.parts(), partition_of=lambda _: 0)
    stage.assigned([0])
    stage.changed(CAMERA_ID, a_live_camera())
    stage.changed(OTHER_ID, a_live_camera(camera_id=OTHER_ID))
    stage.changed(OTHER_ID, None)
    assert not stage.running
    stage.registry_known()
    assert list(stage.running) == [CAMERA_ID]
    assert not setting.reports.forgotten
    stage.stop()


async def test_frames_are_captured_with_their_identity_and_settings(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(3))]
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    await until(lambda: setting.sources.made)
    await until(lambda: setting.frames.epochs)
    (epoch,) = setting.frames.epochs
    await until(lambda: setting.sources.made[0][1].idle)
    taken = epoch.take(100, NOON)
    first = taken[0].event
    assert [waiting.sequence for waiting in taken] == [0, 1, 2]
    assert first.frame.frame_key == frame_key(CAMERA_ID, epoch.number, 0)
    assert first.frame.frame_id == "frame_0"
    assert first.frame.lane is Lane.LIVE
    assert first.frame.deadline is not None
    assert first.frame.camera_name == camera.name
    assert first.detection == camera.detection
    assert [stage_time.stage for stage_time in first.stages] == ["camera"]


async def test_a_stream_connects_then_is_live_and_both_are_told(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    assert setting.reports.states() == [StreamState.CONNECTING, StreamState.LIVE]
    connecting, connected = setting.reports.events
    assert connecting.event_type == connected.event_type == "camera_connection"
    assert connecting.attributes["status"] == "connecting"
    assert connected.attributes["status"] == "connected"
    assert connected.attributes["connection_attempt"] == "1"
    assert "latency_ms" in connected.attributes
    assert connected.camera_name == "Front door"
    live = setting.reports.statuses[-1]
    assert live.is_healthy
    assert (live.width, live.height, live.frames_captured) == (640, 360, 1)
    assert live.session_id is not None


async def test_a_camera_that_cannot_be_reached_is_tried_again_ever_more_slowly(
    stage: CameraStage, setting: Setting
) -> None:
    refused = [FakeSource(refusal=an_error()) for _ in range(4)]
    setting.sources.prepared[CAMERA_ID] = [*refused, FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    assert setting.wait.seconds == [1, 2, 4, 8]
    failed = [s for s in setting.reports.statuses if s.state is StreamState.ERROR]
    assert [status.reconnection_attempts for status in failed] == [1, 2, 3, 4]
    assert failed[0].error_code == "unreachable"
    assert failed[0].last_error == "it is unreachable"
    assert failed[0].next_retry_at is not None
    assert (failed[0].next_retry_at - NOON).total_seconds() == 1
    assert all(source.closed for source in refused)
    severities = [event.severity for event in setting.reports.events]
    assert severities.count("warning") == 4


async def test_a_wrong_password_is_tried_again_slowly_from_the_start(
    stage: CameraStage, setting: Setting
) -> None:
    setting.wait.held = True
    refusal = an_error(ErrorCode.UNAUTHORIZED)
    setting.sources.prepared[CAMERA_ID] = [FakeSource(refusal=refusal)]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.wait.seconds)
    assert setting.wait.seconds == [60]


async def test_a_stream_that_ends_is_a_drop_and_the_next_one_has_its_own_epoch(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource([*frames(2), None]), FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.reports.states().count(StreamState.LIVE) == 2)
    failed = [s for s in setting.reports.statuses if s.state is StreamState.ERROR]
    assert [status.error_code for status in failed] == ["stream_ended"]
    assert setting.reports.statuses[-1].connection_resets == 1
    first, second = setting.frames.epochs
    assert first.number != second.number
    assert not first.offer(lambda _: pytest.fail("a closed epoch took a frame"))


async def test_a_file_that_is_shown_once_is_stopped_at_its_end(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource([*frames(1), None])]
    file = StreamConfig(stream_type=StreamType.FILE, url="clip.mp4", loop=False)
    stage.changed(CAMERA_ID, a_camera(stream=file))
    await until(lambda: StreamState.STOPPED in setting.reports.states())
    assert setting.reports.statuses[-1].error_code == "stream_ended"
    assert len(setting.sources.made) == 1
    stage.report()
    assert setting.reports.states()[-1] is StreamState.STOPPED


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_bug_in_reading_one_camera_stops_no_other(
    stage: CameraStage, setting: Setting
) -> None:
    setting.wait.held = True
    setting.sources.prepared[CAMERA_ID] = [FakeSource([RuntimeError("a bug")])]
    setting.sources.prepared[OTHER_ID] = [FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera())
    stage.changed(OTHER_ID, a_live_camera(camera_id=OTHER_ID))
    await until(lambda: StreamState.ERROR in setting.reports.states(CAMERA_ID))
    await until(lambda: StreamState.LIVE in setting.reports.states(OTHER_ID))
    await until(lambda: not threads_of(CAMERA_ID))
    codes = {s.error_code for s in setting.reports.statuses if s.camera_id == CAMERA_ID}
    assert codes == {None, "crashed"}
    assert not stage.broken.done()


async def test_a_revoked_stream_takes_no_more_frames_and_says_nothing(
    stage: CameraStage, setting: Setting
) -> None:
    source = FakeSource(frames(1))
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.revoked([0])
    assert not stage.running
    (epoch,) = setting.frames.epochs
    assert not epoch.offer(lambda _: pytest.fail("a closed epoch took a frame"))
    await until(lambda: source.closed)
    assert setting.reports.states()[-1] is StreamState.LIVE


async def test_a_stream_that_is_revoked_while_it_waits_does_not_connect_again(
    stage: CameraStage, setting: Setting
) -> None:
    setting.wait.held = True
    setting.sources.prepared[CAMERA_ID] = [FakeSource(refusal=an_error())]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.wait.seconds)
    stage.revoked([0])
    await asyncio.sleep(0.01)
    assert len(setting.sources.made) == 1
    assert setting.reports.states()[-1] is StreamState.ERROR


async def test_a_camera_that_is_switched_off_is_stopped_and_on_again_connected(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1)), FakeSource(frames(1))]
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.changed(CAMERA_ID, replace(camera, detection=a_detection_config(enabled=False)))
    assert setting.reports.states()[-1] is StreamState.STOPPED
    assert setting.reports.statuses[-1].frames_captured == 1
    assert setting.reports.events[-1].attributes["status"] == "stopped"
    stage.changed(CAMERA_ID, camera)
    await until(lambda: setting.reports.states()[-1] is StreamState.LIVE)


async def test_a_camera_that_was_never_on_is_told_to_be_stopped_once(
    stage: CameraStage, setting: Setting
) -> None:
    off = a_live_camera(detection=a_detection_config(enabled=False))
    stage.changed(CAMERA_ID, off)
    stage.changed(CAMERA_ID, replace(off, revision=1))
    assert setting.reports.states() == [StreamState.STOPPED]
    assert not stage.running


async def test_a_deleted_camera_is_let_go_and_its_status_forgotten(
    stage: CameraStage, setting: Setting
) -> None:
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.sources.made)
    stage.changed(CAMERA_ID, None)
    stage.changed("cam_unheard_of", None)
    assert setting.reports.forgotten == [CAMERA_ID]
    assert not stage.running


async def test_a_deleted_camera_that_was_switched_off_is_forgotten_too(
    stage: CameraStage, setting: Setting
) -> None:
    stage.changed(CAMERA_ID, a_live_camera(detection=a_detection_config(enabled=False)))
    stage.changed(CAMERA_ID, None)
    assert setting.reports.forgotten == [CAMERA_ID]


async def test_the_camera_of_another_replica_is_left_alone(setting: Setting) -> None:
    stage = CameraStage(setting.parts(), partition_of=lambda _: 1, node="node-a")
    stage.assigned([0])
    stage.registry_known()
    stage.changed(CAMERA_ID, a_live_camera())
    stage.changed(CAMERA_ID, None)
    assert not stage.running
    assert not setting.reports.forgotten
    stage.changed(OTHER_ID, a_live_camera(camera_id=OTHER_ID, node="node-a"))
    assert list(stage.running) == [OTHER_ID]
    stage.stop()


async def test_settings_change_without_a_new_connection(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.changed(CAMERA_ID, replace(camera, detection=a_detection_config(fps_limit=1)))
    stage.changed(CAMERA_ID, replace(camera, name="Back door"))
    stage.report()
    assert setting.reports.statuses[-1].camera_name == "Back door"
    assert len(setting.sources.made) == 1
    assert len(setting.frames.epochs) == 1


@pytest.mark.parametrize(
    ("change", "lane"),
    [({"overload": Overload.ALL}, Lane.EVIDENCE), ({"priority": Priority.URGENT}, Lane.URGENT)],
)
async def test_a_change_of_lane_begins_a_new_epoch_on_the_same_connection(
    stage: CameraStage, setting: Setting, change: dict[str, object], lane: Lane
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.changed(CAMERA_ID, replace(camera, detection=a_detection_config(**change)))
    before, after = setting.frames.epochs
    assert (before.lane, after.lane) == (Lane.LIVE, lane)
    assert before.number != after.number
    assert not before.offer(lambda _: pytest.fail("a closed epoch took a frame"))
    assert len(setting.sources.made) == 1


async def test_a_change_of_lane_before_the_first_connection_opens_no_epoch(
    stage: CameraStage, setting: Setting
) -> None:
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    stage.changed(CAMERA_ID, replace(camera, detection=a_detection_config(overload=Overload.ALL)))
    assert not setting.frames.epochs


async def test_a_new_address_is_connected_once_the_old_connection_is_gone(
    stage: CameraStage, setting: Setting
) -> None:
    setting.wait.held = True
    old = FakeSource(frames(1))
    setting.sources.prepared[CAMERA_ID] = [old, FakeSource(frames(1))]
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    await until(lambda: StreamState.LIVE in setting.reports.states())
    moved = StreamConfig(stream_type=StreamType.RTSP, url="rtsp://camera/other")
    stage.changed(CAMERA_ID, replace(camera, stream=moved))
    await until(lambda: setting.reports.states().count(StreamState.LIVE) == 2)
    assert [made.stream.url for made, _ in setting.sources.made] == [
        "rtsp://camera/live",
        "rtsp://camera/other",
    ]
    assert old.closed


async def test_a_replica_that_stops_says_so_of_every_camera(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.stop()
    assert setting.reports.states()[-1] is StreamState.STOPPED
    stage.assigned([1])
    stage.changed(OTHER_ID, a_live_camera(camera_id=OTHER_ID))
    assert not stage.running


async def test_a_picture_that_no_record_can_carry_is_shed(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [
        FakeSource([FakeFrame(image=None), FakeFrame(media_time=1.0)])
    ]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.frames.epochs and setting.frames.epochs[0].take(10, NOON))
    (shed, _) = setting.frames.epochs[0].report(NOON, "camera-0")
    assert (shed.reason, shed.ranges[0].first) == ("too_large", 0)


async def test_frames_beyond_the_limit_are_skipped_and_counted(
    stage: CameraStage, setting: Setting
) -> None:
    fast = [FakeFrame(media_time=n / 15) for n in range(15)]
    setting.sources.prepared[CAMERA_ID] = [FakeSource([*fast, None])]
    setting.wait.held = True
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.ERROR in setting.reports.states())
    kept = len(setting.frames.epochs[0].take(100, NOON))
    assert kept in {5, 6}, "by the moment that is this camera's"
    assert setting.reports.statuses[-1].frames_skipped == 15 - kept


async def test_a_stream_that_fails_in_the_moment_it_is_ended_stays_stopped(
    setting: Setting,
) -> None:
    stream = Stream(setting.parts(), a_live_camera())
    running = asyncio.ensure_future(stream.run())
    await until(lambda: setting.sources.made)
    assert stream._connection is not None
    stream._connection._resolve(an_error())
    stream.end()
    stream.stopped("the camera was switched off")
    stream._connection._tell_live()
    await asyncio.wait_for(running, 5)
    assert setting.reports.states() == [StreamState.CONNECTING, StreamState.STOPPED]


async def test_a_connection_that_is_asked_to_end_before_it_began_reads_nothing(
    setting: Setting,
) -> None:
    source = FakeSource(frames(1))
    setting.sources.prepared[CAMERA_ID] = [source]
    parts = setting.parts()
    capture = Capture(a_live_camera(), parts.policy, NOON)
    hooks = Hooks(
        live=lambda: pytest.fail("it went live"), noticed=lambda _: None, gone=lambda: None
    )
    connection = Connection(parts, capture, hooks)
    connection.end()
    assert await connection.read() is None
    await asyncio.wait_for(connection.gone.wait(), 5)
    assert source.closed
    assert not source.idle
    assert not setting.frames.epochs


async def test_a_connection_that_ends_with_its_first_picture_begins_no_epoch(
    setting: Setting,
) -> None:
    async def end() -> None:
        connection.end()

    def ends() -> float:
        asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENT)
        return 0.0

    loop = asyncio.get_running_loop()
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    parts = replace(setting.parts(), thread_seconds=ends)
    capture = Capture(a_live_camera(), parts.policy, NOON)
    hooks = Hooks(
        live=lambda: pytest.fail("it went live"), noticed=lambda _: None, gone=lambda: None
    )
    connection = Connection(parts, capture, hooks)
    assert await connection.read() is None
    await asyncio.wait_for(connection.gone.wait(), PATIENT)
    assert not setting.frames.epochs


def test_a_frame_that_cannot_be_published_before_any_epoch_is_nobodys(setting: Setting) -> None:
    capture = Capture(a_live_camera(), setting.parts().policy, NOON)
    capture.waste("too_large")
    assert capture.status(NOON, 0.0).frames_dropped == {}


def test_what_a_source_passes_over_is_counted_once_by_reason(setting: Setting) -> None:
    capture = Capture(a_live_camera(), setting.parts().policy, NOON)
    for counts in ({}, {"broken_picture": 2}, {"broken_picture": 2, "garbage": 1}):
        capture.passed_over(counts)
    assert capture.status(NOON, 0.0).frames_dropped == {"broken_picture": 2, "garbage": 1}
    capture.connected("tcp", "mjpeg")
    capture.passed_over({"broken_picture": 1})
    assert capture.status(NOON, 0.0).frames_dropped == {"broken_picture": 3, "garbage": 1}


async def test_a_stream_that_is_ended_before_its_turn_never_connects(setting: Setting) -> None:
    stream = Stream(setting.parts(), a_live_camera())
    stream.end()
    await stream.run(after=asyncio.Event())
    assert not setting.sources.made
    assert not setting.reports.statuses


KAFKA_AWAY = "kafka has not acknowledged anything for more than 5 s"


def an_evidence_camera(**changes: object) -> Camera:
    detection = a_detection_config(overload=Overload.ALL)
    return a_live_camera(detection=detection, **changes)


async def test_while_nothing_can_be_published_a_stream_stops_and_says_what_is_away(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(2)), FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    for _ in range(2):
        stage.publishing(KAFKA_AWAY)
    await until(lambda: setting.reports.states()[-1] is StreamState.ERROR)
    last = setting.reports.statuses[-1]
    assert (last.error_code, last.last_error) == ("dependency_unavailable", KAFKA_AWAY)
    assert last.next_retry_at is None
    (epoch,) = setting.frames.epochs
    assert not epoch.offer(lambda _: pytest.fail("a closed epoch took a frame"))
    await asyncio.sleep(0.01)
    assert len(setting.sources.made) == 1
    stage.publishing(None)
    await until(lambda: setting.reports.states()[-1] is StreamState.LIVE)
    assert setting.wait.seconds[-1] == 1
    assert len(setting.frames.epochs) == 2


async def test_a_connection_that_hangs_while_it_is_held_does_not_touch_the_next_one(
    stage: CameraStage, setting: Setting
) -> None:
    hanging, later = FakeSource(frames(1), deaf=True), FakeSource(frames(1))
    hanging.passed_over = {"broken_picture": 2}
    setting.sources.prepared[CAMERA_ID] = [hanging, later]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    await until(lambda: hanging.idle)
    stage.publishing(KAFKA_AWAY)
    await until(lambda: setting.reports.states()[-1] is StreamState.ERROR)
    stage.changed(CAMERA_ID, a_live_camera(name="Back door"))
    stage.publishing(None)
    await until(lambda: later.idle)
    hanging.wake()
    await until(lambda: hanging.closed)
    await until(lambda: len(threads_of(CAMERA_ID)) == 1)
    second = setting.frames.epochs[1]
    assert [waiting.sequence for waiting in second.take(100, NOON)] == [0]
    assert second.offer(lambda n: a_frame_captured(frame=a_frame_header(sequence_number=n)))
    stage.report()
    status = setting.reports.statuses[-1]
    assert (status.frames_captured, status.frames_dropped) == (2, {"broken_picture": 2})


async def connect_anew(stage: CameraStage, setting: Setting, later: FakeSource) -> None:
    """The broker goes and comes back: the connection ends, and the next one is read."""
    stage.publishing(KAFKA_AWAY)
    await until(lambda: setting.reports.states()[-1] is StreamState.ERROR)
    stage.publishing(None)
    await until(lambda: later.idle)


async def test_a_connection_that_opens_after_the_next_one_does_not_tell_how_that_one_is(
    stage: CameraStage, setting: Setting
) -> None:
    class Doorstep(FakeSource):
        @override
        def open(self) -> None:
            super().open()
            assert answered.wait(PATIENT)

    answered = threading.Event()
    late, later = Doorstep(), FakeSource(frames(1))
    late.transport, later.transport = "udp", "tcp"
    setting.sources.prepared[CAMERA_ID] = [late, later]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: late.opened)
    await connect_anew(stage, setting, later)
    answered.set()
    await until(lambda: late.closed)
    stage.report()
    assert setting.reports.statuses[-1].transport == "tcp"


async def test_a_picture_that_is_encoded_when_its_connection_ends_is_not_the_next_ones(
    stage: CameraStage, setting: Setting
) -> None:
    class Slow(FakeFrame):
        @override
        def jpeg(self, limit: int = INLINE_BYTES) -> bytes | None:
            asked.set()
            assert go_on.wait(PATIENT)
            return super().jpeg(limit)

    asked, go_on = threading.Event(), threading.Event()
    slow, later = FakeSource([Slow()]), FakeSource(frames(1))
    setting.sources.prepared[CAMERA_ID] = [slow, later]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(asked.is_set)
    await connect_anew(stage, setting, later)
    go_on.set()
    await until(lambda: slow.closed)
    second = setting.frames.epochs[1]
    assert [waiting.sequence for waiting in second.take(100, NOON)] == [0]


async def test_a_connection_that_opens_after_it_was_asked_to_end_begins_no_epoch(
    stage: CameraStage, setting: Setting
) -> None:
    source = FakeSource([])
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: source.idle)
    stage.revoked([0])
    await until(lambda: source.closed)
    await until(lambda: not threads_of(CAMERA_ID))
    assert not setting.frames.epochs
    assert StreamState.LIVE not in setting.reports.states()


async def test_a_camera_whose_frames_must_not_be_missed_is_read_on(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    stage.changed(CAMERA_ID, an_evidence_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.publishing(KAFKA_AWAY)
    (epoch,) = setting.frames.epochs
    assert epoch.offer(lambda n: a_frame_captured(frame=a_frame_header(sequence_number=n)))
    assert setting.reports.states()[-1] is StreamState.LIVE


async def test_a_camera_that_comes_while_nothing_can_be_published_waits(
    stage: CameraStage, setting: Setting
) -> None:
    stage.publishing(KAFKA_AWAY)
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.ERROR in setting.reports.states())
    assert not setting.sources.made
    stage.changed(CAMERA_ID, an_evidence_camera())
    await until(lambda: setting.sources.made)


async def test_a_camera_that_is_deleted_while_it_is_held_never_connects(
    stage: CameraStage, setting: Setting
) -> None:
    stage.publishing(KAFKA_AWAY)
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.ERROR in setting.reports.states())
    stage.changed(CAMERA_ID, None)
    stage.publishing(None)
    await asyncio.sleep(0.01)
    assert not setting.sources.made
    assert setting.reports.forgotten == [CAMERA_ID]


async def test_a_camera_in_error_is_held_when_its_next_attempt_is_due(
    stage: CameraStage, setting: Setting
) -> None:
    setting.wait.held = True
    setting.sources.prepared[CAMERA_ID] = [FakeSource(refusal=an_error())]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.wait.seconds)
    stage.publishing(KAFKA_AWAY)
    setting.wait.let_go()
    await until(lambda: setting.reports.statuses[-1].error_code == "dependency_unavailable")
    assert len(setting.sources.made) == 1


async def test_when_the_group_falls_silent_only_unmissable_cameras_go_on(
    stage: CameraStage, setting: Setting
) -> None:
    for camera_id in (CAMERA_ID, OTHER_ID):
        setting.sources.prepared[camera_id] = [FakeSource(frames(1))]
    stage.changed(CAMERA_ID, an_evidence_camera())
    stage.changed(OTHER_ID, a_live_camera(camera_id=OTHER_ID))
    await until(lambda: len(setting.frames.epochs) == 2)
    stage.lost([0])
    assert list(stage.running) == [CAMERA_ID]
    stage.assigned([0])
    await until(lambda: len(stage.running) == 2)
    assert [camera.camera_id for camera, _ in setting.sources.made].count(CAMERA_ID) == 1


async def test_what_another_replica_got_meanwhile_is_let_go(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    stage.changed(CAMERA_ID, an_evidence_camera())
    await until(lambda: setting.frames.epochs)
    stage.lost([0])
    stage.assigned([])
    assert not stage.running
    (epoch,) = setting.frames.epochs
    assert not epoch.offer(lambda _: pytest.fail("a closed epoch took a frame"))


async def test_a_stream_that_is_revoked_while_in_doubt_ends(
    stage: CameraStage, setting: Setting
) -> None:
    stage.changed(CAMERA_ID, an_evidence_camera())
    stage.lost([0])
    stage.revoked([0])
    assert not stage.running


async def test_streams_are_shown_by_state(stage: CameraStage, setting: Setting) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.report()
    assert setting.gauges.states == {StreamState.LIVE: 1}


async def test_an_urgent_camera_whose_frames_must_not_be_shed_goes_on_as_evidence(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    urgent = a_detection_config(priority=Priority.URGENT)
    stage.changed(CAMERA_ID, a_live_camera(detection=urgent))
    await until(lambda: StreamState.LIVE in setting.reports.states())
    stage.changed(CAMERA_ID, a_live_camera(detection=replace(urgent, overload=Overload.ALL)))
    before, after = setting.frames.epochs
    assert (before.lane, after.lane) == (Lane.URGENT, Lane.EVIDENCE)


async def test_a_bug_in_the_stage_itself_is_raised(stage: CameraStage, setting: Setting) -> None:
    setting.reports.broken = ZeroDivisionError("a bug")
    stage.changed(CAMERA_ID, a_live_camera())
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(stage.broken, 5)
    setting.reports.broken = None


async def test_waiting_ends_with_the_event_or_the_time() -> None:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    started = loop.time()
    await wait_for_event(event, 0.01)
    assert not event.is_set()
    assert loop.time() - started >= 0.009
    event.set()
    await wait_for_event(event, 60)
    assert loop.time() - started < 30
