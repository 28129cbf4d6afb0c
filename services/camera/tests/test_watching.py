"""What a stream notices by itself, and when its cameras may connect."""

import asyncio
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.camera.tests.doubles import (
    FakeFrame,
    FakeSource,
    Setting,
    a_live_camera,
    an_error,
    frames,
    until,
)

from camera.domain.budget import ConnectionLimits
from camera.domain.capture import Capture
from camera.domain.frames import Arrival, Pictures
from camera.domain.life import ErrorCode
from camera.domain.policy import CapturePolicy, host_of, same_connection
from camera.stage import CameraStage
from mesh.events import (
    Camera,
    FrameCaptured,
    LogEvent,
    Overload,
    StreamConfig,
    StreamState,
    StreamType,
    TimestampSource,
)
from mesh.testing import CAMERA_ID, NOON, a_camera, a_detection_config

LIMIT = "waits for its turn"


def an_id(number: int) -> str:
    return f"cam_00000000-0000-4000-8000-{100 + number:012}"


def at_host(number: int, host: str = "recorder", **changes: object) -> Camera:
    stream = StreamConfig(stream_type=StreamType.RTSP, url=f"rtsp://{host}:554/{number}")
    return a_camera(**{"camera_id": an_id(number), "stream": stream, **changes})


def a_stage(setting: Setting) -> CameraStage:
    made = CameraStage(setting.parts(), partition_of=lambda _: 0)
    made.assigned([0])
    made.registry_known()
    return made


def prepare(setting: Setting, number: int, *sources: FakeSource) -> Sequence[FakeSource]:
    setting.sources.prepared[an_id(number)] = list(sources)
    return sources


def made(setting: Setting) -> list[str]:
    return [camera.camera_id for camera, _ in setting.sources.made]


def told(setting: Setting, words: str) -> list[LogEvent]:
    return [event for event in setting.reports.events if words in event.message]


async def test_cameras_of_one_host_connect_a_few_at_a_time(setting: Setting) -> None:
    setting.limits = ConnectionLimits(per_host=2)
    stage = a_stage(setting)
    first, *_ = [prepare(setting, n, FakeSource(deaf=True))[0] for n in range(4)]
    for number in range(4):
        stage.changed(an_id(number), at_host(number))
    stage.changed(an_id(9), at_host(9, "elsewhere"))
    await until(lambda: len(made(setting)) == 3)
    assert set(made(setting)) == {an_id(0), an_id(1), an_id(9)}
    waiting = [s for s in setting.reports.statuses if s.details and LIMIT in s.details]
    assert {status.camera_id for status in waiting} == {an_id(2), an_id(3)}
    assert {(s.state, s.reconnection_attempts) for s in waiting} == {(StreamState.CONNECTING, 0)}
    first.wake()
    await until(lambda: len(made(setting)) == 4)
    assert made(setting)[-1] == an_id(2)
    assert setting.reports.states(an_id(3)) == [StreamState.CONNECTING]
    stage.stop()
    for _, source in setting.sources.made:
        source.wake()


async def test_an_attempt_that_hangs_keeps_its_place_until_it_is_over(setting: Setting) -> None:
    setting.limits = ConnectionLimits(per_host=1)
    stage = a_stage(setting)
    (hanging,) = prepare(setting, 0, FakeSource(deaf=True))
    stage.changed(an_id(0), at_host(0))
    await until(lambda: hanging.idle)
    stage.changed(an_id(0), None)
    stage.changed(an_id(1), at_host(1))
    await until(lambda: setting.reports.statuses[-1].details)
    assert made(setting) == [an_id(0)]
    hanging.wake()
    await until(lambda: made(setting) == [an_id(0), an_id(1)])
    stage.stop()


async def test_a_camera_that_goes_while_it_waits_for_its_turn_never_connects(
    setting: Setting,
) -> None:
    setting.limits = ConnectionLimits(per_host=1)
    stage = a_stage(setting)
    (first,) = prepare(setting, 0, FakeSource(deaf=True))
    for number in range(3):
        stage.changed(an_id(number), at_host(number))
    await until(lambda: len([s for s in setting.reports.statuses if s.details]) == 2)
    stage.changed(an_id(1), None)
    first.wake()
    await until(lambda: len(made(setting)) == 2)
    assert made(setting) == [an_id(0), an_id(2)]
    stage.stop()


async def test_a_camera_that_waits_for_its_turn_says_if_nothing_can_be_published(
    setting: Setting,
) -> None:
    setting.limits = ConnectionLimits(per_host=1)
    stage = a_stage(setting)
    for number in range(2):
        stage.changed(an_id(number), at_host(number))
    await until(lambda: any(status.details for status in setting.reports.statuses))
    stage.publishing("kafka is away")
    await until(lambda: setting.reports.states(an_id(1))[-1] is StreamState.ERROR)
    last = [s for s in setting.reports.statuses if s.camera_id == an_id(1)][-1]
    assert (last.error_code, last.details) == ("dependency_unavailable", None)
    assert made(setting) == [an_id(0)]
    stage.stop()


async def test_when_a_silent_host_answers_all_its_cameras_try_at_once(setting: Setting) -> None:
    setting.wait.held = True
    stage = a_stage(setting)
    for number in range(3):
        prepare(setting, number, FakeSource(refusal=an_error()), FakeSource(frames(1)))
        stage.changed(an_id(number), at_host(number))
    await until(lambda: len(setting.wait.seconds) == 3)
    assert len(made(setting)) == 3
    prepare(setting, 3, FakeSource(frames(1)))
    stage.changed(an_id(3), at_host(3))
    await until(lambda: all(StreamState.LIVE in setting.reports.states(an_id(n)) for n in range(4)))
    stage.stop()


async def test_a_camera_that_failed_while_its_host_answered_tries_again_soon(
    setting: Setting,
) -> None:
    stage = a_stage(setting)
    failing = [FakeSource(refusal=an_error()) for _ in range(3)]
    hanging = FakeSource([an_error()])
    prepare(setting, 0, *failing, hanging, FakeSource(frames(1)))
    stage.changed(an_id(0), at_host(0))
    await until(lambda: StreamState.LIVE in setting.reports.states(an_id(0)))
    assert setting.wait.seconds == [1, 2, 4, 8]
    stage.stop()


async def test_a_camera_that_failed_too_often_is_stopped_if_that_is_wanted(
    setting: Setting,
) -> None:
    setting.max_retries = 2
    stage = a_stage(setting)
    prepare(setting, 0, *(FakeSource(refusal=an_error()) for _ in range(4)))
    stage.changed(an_id(0), at_host(0))
    await until(lambda: StreamState.STOPPED in setting.reports.states())
    assert len(made(setting)) == 3
    last = setting.reports.statuses[-1]
    assert (last.error_code, last.next_retry_at) == ("unreachable", None)
    assert told(setting, "gave up after 2 retries")
    off = at_host(0, detection=a_detection_config(enabled=False))
    stage.changed(an_id(0), off)
    stage.changed(an_id(0), at_host(0))
    await until(lambda: len(made(setting)) > 3)
    stage.stop()


@pytest.mark.parametrize("before", [0, 1])
async def test_a_camera_that_hangs_without_a_time_out_is_given_up_and_tried_again(
    setting: Setting, before: int
) -> None:
    setting.patience, setting.limits = 0.02, ConnectionLimits(per_host=1)
    stage = a_stage(setting)
    hanging, later = prepare(
        setting, 0, FakeSource(frames(before), deaf=True), FakeSource(frames(1))
    )
    stream = replace(at_host(0).stream, timeout_seconds=0.001)
    stage.changed(an_id(0), at_host(0, stream=stream))
    await until(lambda: hanging.idle)
    setting.clock.advance(1)
    await until(lambda: later.opened)
    await until(lambda: setting.reports.states()[-1] is StreamState.LIVE)
    assert [event.severity for event in told(setting, "hangs")] == ["warning"]
    assert not hanging.closed
    stage.stop()
    hanging.wake()


async def test_a_file_may_show_a_picture_for_as_long_as_it_likes(setting: Setting) -> None:
    setting.patience = 0.005
    stage = a_stage(setting)
    (slow,) = prepare(setting, 0, FakeSource(frames(1)))
    file = StreamConfig(stream_type=StreamType.FILE, url="clip.mp4", timeout_seconds=0.001)
    stage.changed(an_id(0), at_host(0, stream=file))
    await until(lambda: slow.idle)
    setting.clock.advance(100)
    await asyncio.sleep(0.03)
    assert setting.reports.states()[-1] is StreamState.LIVE
    stage.stop()


def shown(*pictures: int, every: float = 10) -> list[FakeFrame]:
    return [
        FakeFrame(media_time=n * every, shows=picture, after=every)
        for n, picture in enumerate(pictures)
    ]


async def test_a_camera_that_shows_the_same_picture_for_ever_is_frozen_until_it_shows_another(
    stage: CameraStage, setting: Setting
) -> None:
    clock = setting.clock
    setting.sources.prepared[CAMERA_ID] = [
        FakeSource(shown(1, 2, 2, 2, 2), clock=clock),
        FakeSource(shown(2), clock=clock),
        FakeSource(shown(3), clock=clock),
    ]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.reports.states().count(StreamState.LIVE) == 2)
    failed = [s for s in setting.reports.statuses if s.state is StreamState.ERROR]
    assert [status.error_code for status in failed] == ["frozen", "frozen"]
    assert failed[-1].connection_resets == 1
    assert len(setting.frames.epochs) == 2
    assert told(setting, "exactly the same picture")


@pytest.mark.parametrize(
    "stream",
    [
        StreamConfig(stream_type=StreamType.FILE, url="clip.mp4"),
        StreamConfig(stream_type=StreamType.RTSP, url="rtsp://camera/live", frozen_seconds=0),
    ],
)
async def test_files_and_cameras_that_may_are_never_frozen(
    stage: CameraStage, setting: Setting, stream: StreamConfig
) -> None:
    source = FakeSource(shown(*[1] * 10), clock=setting.clock)
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera(stream=stream))
    await until(lambda: source.idle)
    assert StreamState.ERROR not in setting.reports.states()


def test_a_picture_is_looked_at_less_often_than_it_comes() -> None:
    capture = Capture(a_live_camera(), CapturePolicy(instance_id="a"), NOON)
    frames_looked_at: list[float] = []

    def look_at(second: float) -> int:
        frames_looked_at.append(second)
        return len(frames_looked_at)

    for n in range(50):
        assert not capture.is_frozen(partial(look_at, n / 5), n / 5)
    assert frames_looked_at == [n / 5 for n in range(0, 50, 4)]


async def test_how_long_a_picture_may_stay_changes_without_a_new_connection(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1))]
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    await until(lambda: StreamState.LIVE in setting.reports.states())
    patient = replace(camera, stream=replace(camera.stream, frozen_seconds=600.0))
    stage.changed(CAMERA_ID, patient)
    assert len(setting.sources.made) == 1
    assert CapturePolicy(instance_id="a").frozen_after(patient) == 600


CHANGES: dict[str, Any] = {
    "stream_type": StreamType.HTTP_MJPEG,
    "password_encrypted": b"token",
    "frame_delimiter": b"--",
    "headers": {"x": "y"},
    "loop": False,
    "keepalive": False,
}


HINTS = {StreamType.RTSP: {"codec", "fps", "resolution"}}


@pytest.mark.parametrize("of", StreamType)
@pytest.mark.parametrize("name", [each.name for each in fields(StreamConfig)])
def test_every_change_of_what_a_source_asks_for_needs_a_new_connection(
    name: str, of: StreamType
) -> None:
    before = StreamConfig(stream_type=of)
    kind = str(StreamConfig.__dataclass_fields__[name].type)
    value = CHANGES.get(name, "text" if kind.startswith("str") else 7)
    if value is of:
        value = StreamType.RTSP
    keeps = {"frozen_seconds"} | HINTS.get(of, set())
    assert same_connection(before, replace(before, **{name: value})) is (name in keeps)


async def test_a_hint_applies_without_a_new_connection(
    stage: CameraStage, setting: Setting
) -> None:
    source = FakeSource(frames(1))
    setting.sources.prepared[CAMERA_ID] = [source]
    camera = a_live_camera(stream=StreamConfig(stream_type=StreamType.RTSP, url="rtsp://a/1"))
    stage.changed(CAMERA_ID, camera)
    await until(lambda: source.idle)
    hinted = replace(camera.stream, fps=25.0, codec="h265", resolution="1920x1080")
    stage.changed(CAMERA_ID, replace(camera, stream=hinted))
    assert len(setting.sources.made) == 1
    assert not source.closed


def test_what_a_camera_hangs_on_is_its_host() -> None:
    def host(**stream: Any) -> str:
        return host_of(a_camera(stream=StreamConfig(**stream)))

    assert host(stream_type=StreamType.RTSP, url="rtsp://u:p@NVR.local:554/1") == "nvr.local"
    assert host(stream_type=StreamType.HTTP_MJPEG, url="http://[fd00::1]:80/") == "fd00::1"
    assert host(stream_type=StreamType.SOCKET, host="10.0.0.7", port=9000) == "10.0.0.7"
    assert host(stream_type=StreamType.FILE, url="/clips/a.mp4") == CAMERA_ID
    assert host(stream_type=StreamType.USB, device_id=0) == CAMERA_ID
    assert host(stream_type=StreamType.RTSP, url="rtsp://[oops/") == CAMERA_ID


async def test_a_camera_whose_pictures_are_pushed_is_left_to_the_gateway(
    stage: CameraStage, setting: Setting
) -> None:
    pushed = StreamConfig(stream_type=StreamType.WEBSOCKET)
    stage.changed(CAMERA_ID, a_live_camera(stream=pushed))
    off = a_detection_config(enabled=False)
    stage.changed(CAMERA_ID, a_live_camera(stream=pushed, detection=off))
    stage.changed(CAMERA_ID, None)
    assert not stage.running
    assert not setting.reports.statuses
    assert not setting.reports.forgotten


def delayed(*delays: float) -> list[FakeFrame]:
    """Frames at one a second of media time, each so much later than the one before."""
    return [FakeFrame(media_time=float(n), after=1 + each) for n, each in enumerate(delays)]


async def test_frames_that_come_too_late_are_shed(stage: CameraStage, setting: Setting) -> None:
    source = FakeSource(delayed(0, 0, 6, -1, -1, -1, -1, -1, 0), clock=setting.clock)
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera(detection=a_detection_config(max_age_ms=2000)))
    await until(lambda: source.idle)
    (epoch,) = setting.frames.epochs
    assert [each.sequence for each in epoch.take(100, NOON)] == [0, 1, 6, 7, 8]
    (shed, _) = epoch.report(NOON, "camera-0")
    assert shed.reason == "max_age"
    assert [(each.first, each.last) for each in shed.ranges] == [(2, 5)]
    assert source.hurried == 5


async def test_what_a_source_spends_in_threads_of_its_own_is_part_of_the_cost(
    stage: CameraStage, setting: Setting
) -> None:
    source = FakeSource(frames(2))
    source.own_seconds = 3.0
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: source.idle)
    stage.report()
    assert (setting.reports.statuses[-1].cpu_usage_percent or 0.0) >= 300


async def test_pictures_that_nobody_wanted_came_and_were_left_out_by_sampling(
    stage: CameraStage, setting: Setting
) -> None:
    source = FakeSource(frames(2))
    source.passed_over = {"not_wanted": 30}
    setting.sources.prepared[CAMERA_ID] = [source]
    camera = a_live_camera()
    stage.changed(CAMERA_ID, camera)
    await until(lambda: source.idle)
    stage.report()
    status = setting.reports.statuses[-1]
    assert status.frames_dropped == {}
    assert status.frames_captured == 32
    assert status.frames_skipped >= 30
    assert source.wanted == [camera.detection.fps_limit]


async def test_pictures_that_were_left_out_to_catch_up_are_told(
    stage: CameraStage, setting: Setting
) -> None:
    source = FakeSource(frames(2))
    source.passed_over = {"catching_up": 7}
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: source.idle)
    stage.report()
    assert setting.reports.statuses[-1].frames_dropped == {"catching_up": 7}
    assert setting.reports.statuses[-1].frames_captured == 2


@pytest.mark.parametrize(
    "camera",
    [
        a_live_camera(detection=a_detection_config(max_age_ms=2000, overload=Overload.ALL)),
        a_live_camera(stream=StreamConfig(stream_type=StreamType.FILE, url="clip.mp4")),
    ],
)
async def test_no_frame_is_too_late_for_evidence_or_from_a_file(
    stage: CameraStage, setting: Setting, camera: Camera
) -> None:
    source = FakeSource(delayed(0, 0, 6, -1, -1, 0), clock=setting.clock)
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, camera)
    await until(lambda: source.idle)
    assert len(setting.frames.epochs[0].take(100, NOON)) == 6
    assert not source.hurried


@pytest.mark.parametrize(
    ("overload", "reasons"), [(Overload.LATEST, ["max_age"]), (Overload.ALL, [])]
)
async def test_frames_of_a_file_that_wait_too_long_for_the_broker_are_shed_unless_all_count(
    stage: CameraStage, setting: Setting, overload: Overload, reasons: list[str]
) -> None:
    source = FakeSource(frames(3))
    setting.sources.prepared[CAMERA_ID] = [source]
    clip = StreamConfig(stream_type=StreamType.FILE, url="clip.mp4")
    detection = a_detection_config(max_age_ms=2000, overload=overload)
    stage.changed(CAMERA_ID, a_live_camera(stream=clip, detection=detection))
    await until(lambda: source.idle)
    (epoch,) = setting.frames.epochs
    late = setting.clock.now() + timedelta(seconds=3)
    assert len(epoch.take(100, late)) == (0 if reasons else 3)
    shed = [entry.reason for entry in epoch.report(late, "camera-0") if entry.outcome == "shed"]
    assert shed == reasons


async def test_a_session_outlives_its_connections_as_its_counts_do(
    stage: CameraStage, setting: Setting
) -> None:
    last = FakeSource(frames(2))
    setting.sources.prepared[CAMERA_ID] = [FakeSource([*frames(3), an_error()]), last]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: last.idle)
    stage.report()
    status = setting.reports.statuses[-1]
    assert (status.connection_resets, status.frames_captured) == (1, 5)
    assert {each.session_id for each in setting.reports.statuses} == {status.session_id}
    assert {each.started_at for each in setting.reports.statuses} == {status.started_at}
    assert len({each.number for each in setting.frames.epochs}) == 2


async def test_a_backlog_that_does_not_shrink_ends_the_connection(
    stage: CameraStage, setting: Setting
) -> None:
    backlog = FakeSource(delayed(0, 6, *[0] * 40), clock=setting.clock)
    setting.sources.prepared[CAMERA_ID] = [backlog, FakeSource(frames(1))]
    stage.changed(CAMERA_ID, a_live_camera(detection=a_detection_config(max_age_ms=2000)))
    await until(lambda: setting.reports.states().count(StreamState.LIVE) == 2)
    failed = [s for s in setting.reports.statuses if s.state is StreamState.ERROR]
    assert [status.error_code for status in failed] == [ErrorCode.STALE]
    assert "2000 ms" in (failed[0].last_error or "")


GATED = a_detection_config(fps_limit=1.0, motion_threshold=0.01)


async def test_frames_without_motion_are_numbered_and_accounted_for_but_not_sent(
    stage: CameraStage, setting: Setting
) -> None:
    pictures = [100, 100, 100, 200, 200, 200, 200, 200, 200, 100]
    source = FakeSource(shown(*pictures, every=1), clock=setting.clock)
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera(detection=GATED))
    await until(lambda: source.idle)
    (epoch,) = setting.frames.epochs
    assert [each.sequence for each in epoch.take(100, NOON)] == [0, 3, 8, 9]
    (shed, _) = epoch.report(NOON, "camera-0")
    assert shed.reason == "no_motion"
    assert [(each.first, each.last) for each in shed.ranges] == [(1, 2), (4, 7)]
    stage.report()
    assert setting.reports.statuses[-1].frames_dropped == {"no_motion": 6}


def an_arrival(number: int, **changes: Any) -> Arrival:
    arrival = Arrival(
        received=NOON + timedelta(seconds=number),
        monotonic=float(number),
        media_time=float(number),
        claimed=None,
        source=TimestampSource.RTCP,
        width=640,
        height=360,
        size=1000,
    )
    return replace(arrival, **changes)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), max_size=60))
def test_the_books_balance_whatever_the_scene_shows_and_how_settings_change(
    steps: list[tuple[bool, bool, int]],
) -> None:
    camera = a_live_camera(detection=GATED)
    epochs = iter(range(1, 1000))
    policy = CapturePolicy(instance_id="camera-0", new_epoch=lambda _: next(epochs))
    capture = Capture(camera, policy, NOON)
    opened = [capture.open_session(NOON)]
    still = FakeFrame(shows=100).thumbnail()
    for n, (moves, changed, delay) in enumerate(steps):
        if changed:
            overload = Overload.LATEST if capture.must_go_on else Overload.ALL
            new = replace(GATED, overload=overload)
            opened += filter(None, [capture.adopt(replace(camera, detection=new), NOON)])
        arrival = an_arrival(n, media_time=float(n - delay))
        seen = still + 100 * (n % 2) if moves else still
        if capture.keeps(arrival) and not capture.is_quiet(lambda seen=seen: seen, n):  # type: ignore[misc]  # mypy cannot infer a default
            assert capture.offer(arrival, Pictures(b"jpeg"), NOON)
    capture.close_session()
    figures = capture.status(NOON, 0.0)
    sampled = len(steps) - figures.frames_skipped
    published = shed = 0
    for epoch in opened:
        waiting = [each for _ in range(10) for each in _delivered(epoch)]
        numbers = {each.sequence for each in waiting}
        entries = epoch.report(NOON, "camera-0")
        given_up = {
            n for e in entries if e.reason for r in e.ranges for n in range(r.first, r.last + 1)
        }
        assert not numbers & given_up
        assert numbers | given_up == set(range(len(numbers) + len(given_up)))
        published, shed = published + len(numbers), shed + len(given_up)
    assert published + shed == sampled


def _delivered(epoch: Any) -> list[Any]:
    taken = epoch.take(10, NOON)
    for each in taken:
        epoch.acknowledge(each.sequence)
    return list(taken)


def test_the_first_picture_after_a_change_of_settings_is_always_sent() -> None:
    capture = Capture(a_live_camera(detection=GATED), CapturePolicy(instance_id="a"), NOON)
    capture.open_session(NOON)
    still = FakeFrame(shows=100).thumbnail
    assert [capture.is_quiet(still, n) for n in range(3)] == [False, True, True]
    capture.adopt(a_live_camera(detection=replace(GATED, min_face_size=33)), NOON)
    assert not capture.is_quiet(still, 3)
    capture.adopt(a_live_camera(detection=replace(GATED, motion_threshold=None)), NOON)
    assert not capture.is_quiet(lambda: pytest.fail("nobody needs it"), 4)


def claiming(*ahead: float) -> list[FakeFrame]:
    return [
        FakeFrame(media_time=float(n), claimed=NOON + timedelta(seconds=n + 1 + each), after=1)
        for n, each in enumerate(ahead)
    ]


async def test_a_clock_that_jumps_is_counted_told_and_not_believed(
    stage: CameraStage, setting: Setting
) -> None:
    source = FakeSource(claiming(-0.1, -0.2, 20, 20), clock=setting.clock)
    setting.sources.prepared[CAMERA_ID] = [source]
    stage.changed(CAMERA_ID, a_live_camera(detection=a_detection_config(max_age_ms=60000)))
    await until(lambda: source.idle)
    await until(lambda: told(setting, "clock jumped"))
    (event,) = told(setting, "clock jumped")
    assert (event.severity, event.attributes["status"]) == ("warning", "connected")
    assert event.attributes["clock_jump_s"] == "+20.1"
    taken: list[FrameCaptured] = [each.event for each in setting.frames.epochs[0].take(10, NOON)]
    sources = [each.frame.timestamp_source for each in taken]
    assert sources == [TimestampSource.RTCP] * 2 + [TimestampSource.ARRIVAL] * 2
    stage.report()
    status = setting.reports.statuses[-1]
    assert (status.clock_jumps, status.timestamp_source) == (1, TimestampSource.ARRIVAL)
    assert status.clock_skew_ms == pytest.approx(20_000)
    assert status.avg_latency_ms == pytest.approx(150)


async def test_a_stream_tells_how_its_pictures_come_and_what_they_cost(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource([*frames(3), an_error()])]
    setting.wait.held = True
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: StreamState.ERROR in setting.reports.states())
    live = next(s for s in setting.reports.statuses if s.state is StreamState.LIVE)
    assert (live.transport, live.codec) == ("tcp", "h264")
    assert live.cpu_usage_percent is not None
    assert live.clock_skew_ms is None
    lost = setting.reports.statuses[-1]
    assert (lost.transport, lost.codec) == (None, None)


async def test_a_change_of_resolution_is_told_and_ends_nothing(
    stage: CameraStage, setting: Setting
) -> None:
    small = FakeFrame(media_time=1.0, width=320, height=180)
    setting.sources.prepared[CAMERA_ID] = [FakeSource([*frames(1), small])]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: told(setting, "size changed"))
    (event,) = told(setting, "size changed")
    assert event.message == "the picture's size changed from 640x360 to 320x180"
    stage.report()
    assert (setting.reports.statuses[-1].width, setting.reports.statuses[-1].height) == (320, 180)
    assert len(setting.frames.epochs) == 1


async def test_the_second_stream_s_picture_travels_with_the_first(
    stage: CameraStage, setting: Setting
) -> None:
    setting.sources.prepared[CAMERA_ID] = [FakeSource([FakeFrame(small=b"small")])]
    stage.changed(CAMERA_ID, a_live_camera())
    await until(lambda: setting.frames.epochs and setting.frames.epochs[0].waiting[0])
    (waiting,) = setting.frames.epochs[0].take(1, NOON)
    assert waiting.event.detection_image == b"small"
    assert waiting.size == len(waiting.event.image or b"") + 5
    await asyncio.sleep(0)
