"""RTSP as cameras do it: UDP that is refused or comes to nothing, MJPEG, changing sizes."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
from services.camera.tests.patience import PATIENT, comes_true
from services.camera.tests.rtsp_gate import Gate
from services.camera.tests.rtsp_servers import rtsp_servers

from camera.adapters.rtsp_cameras import RtspCameras
from camera.domain.capture import NOT_WANTED
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError, VideoFrame
from local import rtsp
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

pytestmark = pytest.mark.integration
Start = Callable[..., str]
MJPEG = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=96,"
    "framerate=20/1 ! jpegenc ! rtpjpegpay name=pay0"
)
_SESSION = re.compile(rb"(Session: \S+)\r\n")
_FINE, _BUSY = b"RTSP/1.0 200 OK", b"RTSP/1.0 503 Service Unavailable"
_UDP_PORTS = re.compile(rb"client_port=\d+-\d+")


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program that serves; gives its address."""
    with rtsp_servers() as start:
        yield lambda *command: start(*command).address


@pytest.fixture
def serve(start: Start) -> Start:
    """Serves a file of coded pictures."""
    return lambda file: start(*rtsp.command(file, 0))


@pytest.fixture
def peer(start: Start) -> Start:
    """Serves a pipeline, by one transport only if it is named."""
    program = str(Path(__file__).with_name("rtsp_peer.py"))
    return lambda *arguments: start(rtsp.SYSTEM_PYTHON, "-I", program, *arguments)


@pytest.fixture
def gated() -> Iterator[Callable[..., Gate]]:
    gates: list[Gate] = []

    def build(url: str, **changes: Callable[[bytes], bytes]) -> Gate:
        gates.append(Gate(url, **changes))
        return gates[-1]

    yield build
    for gate in gates:
        gate.close()


def made(cameras: RtspCameras, url: str, transport: str = "auto") -> FrameSource:
    stream = StreamConfig(
        stream_type=StreamType.RTSP, url=url, transport=transport, timeout_seconds=PATIENT
    )
    return cameras(a_camera(stream=stream))


def shown(source: FrameSource, count: int) -> list[VideoFrame]:
    source.open()
    frames = [source.read() for _ in range(count)]
    return [frame for frame in frames if frame is not None]


def clip(path: Path, *codecs: str, sizes: tuple[tuple[int, int], ...] = ((160, 96),)) -> Path:
    """Ten pictures of each size, as the bare stream of a coder."""
    with path.open("wb") as file:
        for (width, height), codec in zip(sizes, codecs, strict=True):
            context = av.CodecContext.create(codec, "w")
            assert isinstance(context, av.VideoCodecContext)
            context.width, context.height, context.pix_fmt = width, height, "yuv420p"
            context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
            context.gop_size, context.max_b_frames = 5, 0
            pixels = np.full((height, width, 3), width % 200, dtype=np.uint8)
            for number in range(10):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = number
                file.writelines(bytes(packet) for packet in context.encode(frame))
            file.writelines(bytes(packet) for packet in context.encode(None))
    return path


def test_a_camera_without_udp_is_read_by_tcp_and_asked_so_at_once_the_next_time(
    peer: Start, gated: Callable[..., Gate]
) -> None:
    gate = gated(peer(MJPEG, "tcp"))

    def asked_for_udp(cameras: RtspCameras) -> int:
        source = made(cameras, gate.url)
        gate.heard = b""
        assert len(shown(source, 2)) == 2
        assert source.transport == "tcp"
        source.close()
        return gate.heard.count(b"RTP/AVP/UDP")

    def once_only() -> bool:
        """A busy camera may refuse UDP later than it is waited for."""
        cameras = RtspCameras()
        return [asked_for_udp(cameras), asked_for_udp(cameras)] == [1, 0]

    assert comes_true(once_only)
    with pytest.raises(SourceError) as caught:
        made(RtspCameras(), gate.url, "udp").open()
    assert caught.value.code is ErrorCode.UNREACHABLE


def test_a_camera_that_still_ends_its_last_session_is_asked_again(
    peer: Start, gated: Callable[..., Gate]
) -> None:
    """So does GStreamer's server where clients share a pipeline that ends."""
    answers = [_BUSY] * 3
    gate = gated(
        peer(MJPEG), answered=lambda said: said.replace(_FINE, answers.pop() if answers else _FINE)
    )
    source = made(RtspCameras(), gate.url, "tcp")
    assert len(shown(source, 2)) == 2
    source.close()


def test_a_camera_that_cannot_serve_is_unreachable(peer: Start, gated: Callable[..., Gate]) -> None:
    gate = gated(peer(MJPEG), answered=lambda said: said.replace(_FINE, _BUSY))
    with pytest.raises(SourceError, match="5XX") as caught:
        made(RtspCameras(), gate.url, "tcp").open()
    assert caught.value.code is ErrorCode.UNREACHABLE


def test_udp_that_brings_nothing_gives_way_to_tcp_within_the_time_out(
    peer: Start, gated: Callable[..., Gate]
) -> None:
    """A firewall: the camera sends its pictures to ports that nobody listens at."""
    url = peer(MJPEG)
    gate = gated(url, asked=lambda said: _UDP_PORTS.sub(b"client_port=9-10", said))
    source = made(RtspCameras(), gate.url)
    assert len(shown(source, 2)) == 2
    assert source.transport == "tcp"
    source.close()

    def comes_by_udp() -> bool:
        """A busy camera may be too late for once."""
        direct = made(RtspCameras(), url)
        assert len(shown(direct, 2)) == 2
        direct.close()
        return direct.transport == "udp"

    assert comes_true(comes_by_udp)


def test_the_camera_is_told_again_and_again_that_somebody_watches(
    peer: Start, gated: Callable[..., Gate]
) -> None:
    """The camera says that it waits two seconds; half of that is waited."""
    short = partial(_SESSION.sub, rb"\1;timeout=2\r\n")
    gate = gated(peer(MJPEG), answered=short)
    source = made(RtspCameras(), gate.url, "tcp")
    source.open()
    gate.heard = b""

    def is_told() -> bool:
        return source.read() is not None and b"GET_PARAMETER" in gate.heard

    assert comes_true(is_told)
    source.close()


def test_jpeg_pictures_pass_through_without_being_decoded(peer: Start) -> None:
    source = made(RtspCameras(), peer(MJPEG), "tcp")
    frames = shown(source, 3)
    assert source.codec == "mjpeg"
    times = [frame.media_time for frame in frames]
    assert times == sorted(set(times))
    for frame in frames:
        image = frame.jpeg() or b""
        assert simplejpeg.decode_jpeg(image).shape == (96, 160, 3)
        assert frame.size >= len(image) / 2
        assert (frame.width, frame.height) == (160, 96)
    assert len({frame.fingerprint() for frame in frames}) == 3
    source.close()


def test_h265_is_read(peer: Start) -> None:
    coder = "x265enc tune=zerolatency speed-preset=ultrafast ! rtph265pay config-interval=-1"
    source = made(RtspCameras(), peer(MJPEG.replace("jpegenc ! rtpjpegpay", coder)))
    frames = shown(source, 3)
    assert source.codec == "hevc"
    assert simplejpeg.decode_jpeg(frames[-1].jpeg() or b"").shape == (96, 160, 3)
    source.close()


def test_key_frames_alone_are_decoded_where_they_come_as_often_as_wanted(peer: Start) -> None:
    coder = "x264enc tune=zerolatency key-int-max=5 bframes=0 ! rtph264pay config-interval=-1"
    source = made(RtspCameras(), peer(MJPEG.replace("jpegenc ! rtpjpegpay", coder)), "tcp")
    source.open()
    source.wants(4.0)
    until_sure = [source.read() for _ in range(21)]
    frames = [source.read() for _ in range(4)]
    assert all(until_sure)
    times = [frame.media_time for frame in frames if frame is not None]
    assert np.diff(times) == pytest.approx(0.25, abs=0.01)
    assert source.passed_over[NOT_WANTED] >= 4 * 3
    for frame in frames:
        assert frame is not None
        assert simplejpeg.decode_jpeg(frame.jpeg() or b"").shape == (96, 160, 3)
    source.close()


def test_a_camera_that_changes_its_size_is_read_on_in_the_new_size(
    serve: Start, tmp_path: Path
) -> None:
    """The brightness of a picture tells which size it should have."""
    sizes = ((160, 96), (320, 192))
    file = clip(tmp_path / "clip.h264", "libx264", "libx264", sizes=sizes)
    source = made(RtspCameras(), serve(file), "tcp")
    seen = set()
    for frame in shown(source, 40):
        pixels = simplejpeg.decode_jpeg(frame.jpeg() or b"")
        assert pixels.shape == (frame.height, frame.width, 3)
        assert abs(float(pixels.mean()) - frame.width % 200) < 4
        seen.add((frame.width, frame.height))
    assert seen == set(sizes)
    source.close()


def test_the_pictures_of_a_second_stream_go_along(peer: Start) -> None:
    stream = StreamConfig(
        stream_type=StreamType.RTSP,
        url=peer(MJPEG.replace("width=160,height=96", "width=320,height=192")),
        sub_url=peer(MJPEG),
        transport="tcp",
        timeout_seconds=PATIENT,
    )
    source = RtspCameras()(a_camera(stream=stream))
    frames = shown(source, 1)

    def go_along() -> bool:
        frame = source.read()
        assert frame is not None
        frames.append(frame)
        return frame.small_jpeg() is not None

    assert comes_true(go_along)
    assert simplejpeg.decode_jpeg(frames[-1].small_jpeg() or b"").shape == (96, 160, 3)
    assert simplejpeg.decode_jpeg(frames[-1].jpeg() or b"").shape == (192, 320, 3)
    source.close()
