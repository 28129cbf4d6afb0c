import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from pydantic import SecretStr
from services.camera.tests.doubles import FakeSource, frames

from camera.adapters import pyav_decoding
from camera.adapters.pyav_source import FileSource, RtspSource, file_source, rtsp_source
from camera.adapters.sources import Sources
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError
from mesh.addresses import AddressPolicy
from mesh.crypto import Cipher
from mesh.errors import ConfigurationError
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


def a_file(path: Path, pace: Pace | None = None, **changes: Any) -> FileSource:
    pace = pace or Pace()
    return FileSource(a_stream(path, **changes), monotonic=pace.monotonic, sleep=pace.sleep)


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
    source = FileSource(a_stream(clip, fps=0.01))
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


def test_a_picture_that_is_too_large_gets_coarser_and_in_the_end_is_none(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (96, 160, 3), dtype=np.uint8)
    source = a_file(clip)
    source.open()
    frame = source.read()
    assert frame is not None
    noisy = replace(frame, _frame=frame._frame.from_ndarray(noise, format="rgb24"))
    whole = noisy.jpeg() or b""
    monkeypatch.setattr(pyav_decoding, "MAX_IMAGE_BYTES", len(whole) - 1)
    assert 0 < len(noisy.jpeg() or b"") < len(whole)
    monkeypatch.setattr(pyav_decoding, "MAX_IMAGE_BYTES", 10)
    assert noisy.jpeg() is None


def refusal(source: FrameSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.open()
    source.close()
    return caught.value


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    error = refusal(a_file(tmp_path / "gone.mp4"))
    assert error.code is ErrorCode.NOT_FOUND
    assert "gone.mp4" in str(error)


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


def sources(decrypt: Callable[[bytes], bytes] = bytes, forbidden: str = "") -> Sources:
    return Sources(
        {StreamType.RTSP: rtsp_source, StreamType.FILE: file_source},
        decrypt=decrypt,
        policy=AddressPolicy.parse(forbidden),
        resolve=lambda *_: ["10.0.0.1"],
    )


def test_files_and_rtsp_cameras_have_sources(clip: Path) -> None:
    assert isinstance(sources()(a_camera(stream=a_stream(clip))), FileSource)
    rtsp = StreamConfig(stream_type=StreamType.RTSP, url="rtsp://127.0.0.1/live")
    assert isinstance(sources()(a_camera(stream=rtsp)), RtspSource)


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (StreamConfig(stream_type=StreamType.RTSP), "url is missing: a RTSP stream needs one"),
        (StreamConfig(stream_type=StreamType.WEBSOCKET, url="ws://host"), "only RTSP, FILE"),
        (StreamConfig(stream_type=StreamType.RTSP, url="file:///etc/hostname"), "begins with rtsp"),
        (StreamConfig(stream_type=StreamType.FILE, url="concat:/a|/b"), "url has the scheme"),
        (
            StreamConfig(stream_type=StreamType.RTSP, url="rtsp://host", transport="pigeon"),
            "pigeon is none of tcp, udp, auto",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(stream: StreamConfig, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        sources()(a_camera(stream=stream))
    assert caught.value.code is ErrorCode.UNSUPPORTED


@pytest.mark.parametrize("host", ["10.0.0.1", "0xa.1", "[::ffff:10.0.0.1]", "a-name-of-10.0.0.1"])
def test_what_leads_to_a_forbidden_network_is_refused(host: str) -> None:
    camera = a_camera(stream=StreamConfig(stream_type=StreamType.RTSP, url=f"rtsp://{host}/"))
    with pytest.raises(SourceError, match=r"leads to 10\.0\.0\.1") as caught:
        sources(forbidden="10.0.0.0/8")(camera)
    assert caught.value.code is ErrorCode.FORBIDDEN_ADDRESS


def with_password(token: bytes) -> StreamConfig:
    return StreamConfig(
        stream_type=StreamType.RTSP,
        url="rtsp://someone:else@camera:554/live?channel=1",
        username="ad min",
        password_encrypted=token,
    )


def test_name_and_password_go_into_the_address_and_nowhere_else() -> None:
    cipher = Cipher(SecretStr(Cipher.new_key()))
    camera = a_camera(stream=with_password(cipher.encrypt("p@ss/wörd".encode())))
    source = sources(cipher.decrypt)(camera)
    assert isinstance(source, RtspSource)
    assert source._url() == "rtsp://ad%20min:p%40ss%2Fw%C3%B6rd@camera:554/live?channel=1"
    assert "p@ss" not in repr(source) + repr(camera)


def test_a_name_without_a_password_is_sent_alone() -> None:
    stream = replace(with_password(b""), password_encrypted=None)
    assert RtspSource(stream, None)._url() == "rtsp://ad%20min@camera:554/live?channel=1"


def test_a_password_that_no_key_opens_is_an_authorisation_error() -> None:
    def refuse(_: bytes) -> bytes:
        raise ConfigurationError("none of the keys opens what is stored")

    with pytest.raises(SourceError, match="none of the keys") as caught:
        sources(refuse)(a_camera(stream=with_password(b"token")))
    assert caught.value.code is ErrorCode.UNAUTHORIZED
