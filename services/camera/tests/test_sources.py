import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
from services.camera.tests.doubles import FakeSource, frames

from camera.adapters.file_source import FileCameras, FileSource
from camera.adapters.rtsp_cameras import RtspCameras
from camera.adapters.rtsp_source import RtspSource
from camera.adapters.second_stream import TwoStreams
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError
from mesh.events import StreamConfig, StreamType, TimestampSource
from mesh.testing import a_camera

MakeSource = Callable[[], FrameSource]


class Pace:
    """Time that passes only while a source waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, event: threading.Event, seconds: float) -> None:
        del event
        self.waits.append(seconds)
        self.now += seconds


def a_stream(path: Path, **changes: Any) -> StreamConfig:
    made = StreamConfig(stream_type=StreamType.FILE, url=str(path))
    return replace(made, **changes)


def a_file(path: Path, clock: Pace | None = None, **changes: Any) -> FileSource:
    clock = clock or Pace()
    stream = a_stream(path, **changes)
    reel = FileCameras().reel(stream)
    return FileSource(stream, reel, monotonic=clock.monotonic, sleep=clock.sleep)


@pytest.fixture(params=["fake", "file"])
def make(request: pytest.FixtureRequest, clip: Path) -> MakeSource:
    """The same contract for the double and the real thing: a source of twenty frames."""
    if request.param == "fake":
        return lambda: FakeSource([*frames(20), None])
    return lambda: a_file(clip, loop=False)


class TestContract:
    def test_frames_come_in_order_until_the_end(self, make: MakeSource) -> None:
        source = make()
        source.open()
        times = []
        while (frame := source.read()) is not None:
            times.append(frame.media_time)
            assert frame.size > 0
            assert frame.width > 0
            assert frame.height > 0
        assert len(times) == 20
        assert times == sorted(set(times))
        source.close()

    def test_a_picture_is_a_jpeg(self, make: MakeSource) -> None:
        source = make()
        source.open()
        frame = source.read()
        assert frame is not None
        assert (frame.jpeg() or b"").startswith(b"\xff\xd8")
        source.close()

    def test_closing_is_repeatable_and_allowed_at_any_time(self, make: MakeSource) -> None:
        source = make()
        source.close()
        source = make()
        source.open()
        assert source.read() is not None
        source.close()
        source.close()

    def test_interrupting_never_blocks(self, make: MakeSource) -> None:
        source = make()
        started = time.monotonic()
        source.interrupt()
        source.open()
        source.interrupt()
        source.close()
        assert time.monotonic() - started < 5


def test_a_file_is_shown_at_its_own_pace(clip: Path) -> None:
    pace = Pace()
    source = a_file(clip, pace)
    source.open()
    shown = [source.read() for _ in range(11)]
    assert sum(pace.waits) == pytest.approx(1.0)
    assert [frame.media_time for frame in shown if frame] == pytest.approx(
        [n / 10 for n in range(11)]
    )


def test_a_file_is_shown_at_the_pace_that_it_is_given(clip: Path) -> None:
    pace = Pace()
    source = a_file(clip, pace, fps=2.0)
    source.open()
    for _ in range(3):
        source.read()
    assert sum(pace.waits) == pytest.approx(1.0)


def test_a_file_begins_again_at_its_end_and_its_time_goes_on(clip: Path) -> None:
    source = a_file(clip)
    source.open()
    shown = [source.read() for _ in range(45)]
    times = [frame.media_time for frame in shown if frame]
    assert times == pytest.approx([n / 10 for n in range(45)])
    first = simplejpeg.decode_jpeg((shown[40] and shown[40].jpeg()) or b"")
    assert first.mean() < 60


def test_a_source_that_was_held_up_does_not_hurry_after_the_lost_time(clip: Path) -> None:
    pace = Pace()
    source = a_file(clip, pace)
    source.open()
    source.read()
    pace.now += 30
    for _ in range(4):
        source.read()
    assert sum(pace.waits) == pytest.approx(0.3)


def test_an_interrupted_file_is_over(clip: Path) -> None:
    source = FileCameras()(a_camera(stream=a_stream(clip, fps=0.01)))
    source.open()
    source.read()
    source.interrupt()
    assert source.read() is None
    source.close()


def test_a_picture_keeps_its_brightness(clip: Path) -> None:
    source = a_file(clip)
    source.open()
    for expected in (20, 30, 40):
        frame = source.read()
        assert frame is not None
        pixels = simplejpeg.decode_jpeg(frame.jpeg() or b"")
        assert pixels.shape == (96, 160, 3)
        assert abs(float(pixels.mean()) - expected) < 4
        assert (frame.claimed, frame.source) == (None, TimestampSource.ARRIVAL)


def refusal(source: FrameSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.open()
    source.close()
    return caught.value


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.mp4") as caught:
        a_file(tmp_path / "gone.mp4")
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_a_file_that_is_no_video_is_unsupported(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no video at all")
    error = refusal(a_file(text))
    assert error.code is ErrorCode.UNSUPPORTED
    assert "notes.txt cannot be read" in str(error)


def test_a_file_with_nothing_but_sound_is_unsupported(sound: Path) -> None:
    error = refusal(a_file(sound))
    assert error.code is ErrorCode.UNSUPPORTED
    assert "no video" in str(error)


def test_a_playlist_cannot_lead_elsewhere(tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/segment.ts\n#EXT-X-ENDLIST\n")
    assert refusal(a_file(playlist)).code is ErrorCode.UNSUPPORTED


def test_a_file_as_fast_as_possible_never_waits(clip: Path) -> None:
    pace = Pace()
    source = a_file(clip, pace, pace="fast")
    source.open()
    times = [frame.media_time for _ in range(45) if (frame := source.read())]
    assert pace.waits == []
    assert times == pytest.approx([n / 10 for n in range(45)])


def test_files_and_rtsp_cameras_have_sources(clip: Path) -> None:
    assert isinstance(FileCameras()(a_camera(stream=a_stream(clip))), FileSource)
    rtsp = StreamConfig(stream_type=StreamType.RTSP, url="rtsp://127.0.0.1/live")
    assert isinstance(RtspCameras()(a_camera(stream=rtsp)), RtspSource)
    both = replace(rtsp, sub_url="rtsp://127.0.0.1/small")
    assert isinstance(RtspCameras()(a_camera(stream=both)), TwoStreams)


def an_rtsp(**changes: Any) -> StreamConfig:
    return StreamConfig(stream_type=StreamType.RTSP, **{"url": "rtsp://host"} | changes)


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (an_rtsp(url=None), "needs a url"),
        (an_rtsp(url="file:///etc/hostname"), "the url of an RTSP stream begins with rtsp"),
        (an_rtsp(sub_url="concat:a|b"), "the sub_url of an RTSP stream begins with rtsp"),
        (an_rtsp(transport="pigeon"), "pigeon is none of tcp, udp, auto"),
        (StreamConfig(stream_type=StreamType.FILE), "needs a url"),
        (StreamConfig(stream_type=StreamType.FILE, url="x", pace="slow"), "slow is none of real"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(stream: StreamConfig, words: str) -> None:
    make = RtspCameras() if stream.stream_type is StreamType.RTSP else FileCameras()
    with pytest.raises(SourceError, match=words) as caught:
        make(a_camera(stream=stream))
    assert caught.value.code is ErrorCode.UNSUPPORTED


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("abacus", "'abacus' cannot be used: this FFmpeg decodes on"),
        ("cuda", "cuda is not there|cuda' cannot"),
    ],
)
def test_hardware_that_cannot_be_used_is_named(clip: Path, name: str, words: str) -> None:
    """No fall back to the CPU in silence, neither for cameras nor for files."""
    if name == "cuda" and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has the hardware")
    rtsp = an_rtsp(url="rtsp://127.0.0.1:9/cam", hardware=name)
    for source in (RtspCameras()(a_camera(stream=rtsp)), a_file(clip, hardware=name)):
        error = refusal(source)
        assert error.code is ErrorCode.HARDWARE_UNAVAILABLE
        assert error.code.needs_people
        assert re.search(words, str(error))


def test_name_and_password_go_into_the_address_and_nowhere_else() -> None:
    stream = an_rtsp(
        url="rtsp://someone:else@camera:554/live?channel=1",
        username="ad min",
        password_encrypted=b"token",
    )
    source = RtspCameras()(a_camera(stream=stream), "p@ss/wörd")
    assert isinstance(source, RtspSource)
    assert source._url() == "rtsp://ad%20min:p%40ss%2Fw%C3%B6rd@camera:554/live?channel=1"
    assert "p@ss" not in repr(source)
    alone = RtspCameras()(a_camera(stream=stream))
    assert isinstance(alone, RtspSource)
    assert alone._url() == "rtsp://ad%20min@camera:554/live?channel=1"
    within = replace(stream, url="rtsp://camera/user={username}&password={password}/1.sdp")
    filled = RtspCameras()(a_camera(stream=within), "p@ss/wörd")
    assert isinstance(filled, RtspSource)
    assert filled._url().endswith("@camera/user=ad%20min&password=p%40ss%2Fw%C3%B6rd/1.sdp")
