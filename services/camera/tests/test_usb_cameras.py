"""USB cameras: lavfi stands in for the device, as no real one can be had in tests."""

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
import simplejpeg
from services.camera.tests.patience import PATIENT
from typing_extensions import override

from camera.adapters.newest import Newest
from camera.adapters.usb_devices import UsbDevice
from camera.adapters.usb_source import UsbCameras, UsbInput, UsbSource
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError
from mesh.events import Camera, StreamConfig, StreamType
from mesh.testing import a_camera


def lavfi(graph: str = "testsrc2=size=160x96:rate=25,realtime") -> UsbInput:
    return UsbInput(format="lavfi", address=lambda _: graph, asks=False)


def a_usb_camera(node: str | None = "edge-1", **changes: Any) -> Camera:
    stream = StreamConfig(
        stream_type=StreamType.USB, **{"device_id": 0, "timeout_seconds": PATIENT} | changes
    )
    return a_camera(node=node, stream=stream)


@contextmanager
def opened(source: FrameSource) -> Iterator[FrameSource]:
    source.open()
    try:
        yield source
    finally:
        source.close()


def test_pictures_come_in_order_with_their_size() -> None:
    with opened(UsbCameras(tuple, lavfi())(a_usb_camera())) as source:
        frames = [source.read() for _ in range(3)]
    times = [frame.media_time for frame in frames if frame]
    assert times == sorted(set(times))
    assert len(times) == 3
    assert all((frame.width, frame.height) == (160, 96) for frame in frames if frame)
    assert simplejpeg.decode_jpeg((frames[0] and frames[0].jpeg()) or b"").shape == (96, 160, 3)
    assert (source.transport, source.codec) == ("usb", "wrapped_avframe")


def test_the_device_is_drained_all_the_time_and_a_slow_reader_gets_the_newest() -> None:
    """The device gives three hundred pictures as fast as they are taken, and then ends."""
    graph = "testsrc2=size=32x32:rate=25:duration=12"
    source = UsbSource(a_usb_camera().stream, Path("/dev/video0"), lavfi(graph))
    source.open()
    ended = source._thread
    assert ended is not None
    ended.join(PATIENT)
    with pytest.raises(SourceError) as caught:
        source.read()
    assert caught.value.code is ErrorCode.UNREACHABLE
    assert source.passed_over == {"replaced": 299}
    source.close()


def test_a_newer_picture_replaces_one_that_nobody_took() -> None:
    newest: Newest[int] = Newest()
    newest.put(1)
    newest.put(2)
    assert newest.take(0) == 2
    assert newest.replaced == 1
    with pytest.raises(SourceError) as caught:
        newest.take(0)
    assert caught.value.code is ErrorCode.FROZEN
    newest.end(SourceError(ErrorCode.UNREACHABLE, "gone"))
    newest.end()
    with pytest.raises(SourceError, match="gone"):
        newest.take(10)


def test_an_interrupted_reader_returns_at_once() -> None:
    with opened(UsbCameras(tuple, lavfi())(a_usb_camera(timeout_seconds=10 * PATIENT))) as source:
        got: list[object] = []
        reader = threading.Thread(target=lambda: got.append([*iter(source.read, None)]))
        reader.start()
        source.interrupt()
        reader.join(PATIENT)
        assert len(got) == 1


def test_jpeg_of_a_device_passes_through(tmp_path: Path) -> None:
    path = tmp_path / "device.mjpeg"
    with av.open("testsrc2=size=64x48:rate=10:duration=1", format="lavfi") as pictures:
        coded = [
            simplejpeg.encode_jpeg(frame.to_ndarray(format="rgb24"), quality=90)
            for frame in pictures.decode(video=0)
        ]
    path.write_bytes(b"".join(coded))
    device = UsbInput(format="mjpeg", address=lambda _: str(path), asks=False)
    source = UsbSource(a_usb_camera().stream, path, device)
    seen: list[bytes] = []
    source._newest = Recorder(seen)
    source.open()
    assert source._thread is not None
    source._thread.join(PATIENT)
    assert source.codec == "mjpeg"
    assert seen == coded


class Recorder(Newest[Any]):
    """Remembers every picture."""

    def __init__(self, seen: list[bytes]) -> None:
        super().__init__()
        self._seen = seen

    @override
    def put(self, item: Any) -> None:
        self._seen.append(item.jpeg())


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENODEV, ErrorCode.UNREACHABLE, "unplugged"),
        (errno.EIO, ErrorCode.UNREACHABLE, "unplugged"),
        (errno.EBUSY, ErrorCode.UNREACHABLE, "another program"),
        (errno.EACCES, ErrorCode.UNAUTHORIZED, "may not open"),
        (errno.EINVAL, ErrorCode.UNSUPPORTED, "cannot be read"),
    ],
)
def test_what_a_device_refuses_has_a_code(number: int, code: ErrorCode, words: str) -> None:
    source = UsbSource(a_usb_camera().stream, Path("/dev/video7"))
    error = source._failed(av.error.FFmpegError(number, "it failed"))
    assert error.code is code
    assert words in str(error)
    assert "/dev/video7" in str(error)


def test_a_device_that_is_not_there_is_tried_again_soon() -> None:
    source = UsbSource(a_usb_camera().stream, Path("/dev/video-none"))
    with pytest.raises(SourceError) as caught:
        source.open()
    assert caught.value.code is ErrorCode.UNREACHABLE
    assert not caught.value.code.needs_people
    source.close()


def test_a_file_that_is_no_device_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "video0"
    file.write_bytes(b"no device")
    with pytest.raises(SourceError):
        UsbSource(a_usb_camera().stream, file).open()


def test_size_rate_and_codec_are_asked_for() -> None:
    stream = a_usb_camera(resolution="1280x720", fps=30.0, codec="yuyv422").stream
    asked = dict(UsbSource(stream, Path("/dev/video0"))._options("mjpeg"))
    assert asked == {"input_format": "mjpeg", "video_size": "1280x720", "framerate": "30"}
    assert "input_format" not in dict(UsbSource(stream, Path("/dev/video0"))._options("raw"))


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (a_usb_camera(node=None), "needs `node`"),
        (a_usb_camera(device_id=None), "needs `device_id`"),
        (a_usb_camera(resolution="large"), "'large' is not WIDTHxHEIGHT"),
    ],
)
def test_settings_without_a_device_are_refused_by_name(camera: Camera, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        UsbCameras(tuple)(camera)
    assert caught.value.code is ErrorCode.UNSUPPORTED


def node_of(cameras: UsbCameras, camera: Camera) -> str:
    source: Any = cameras(camera)
    return str(source._node)


@pytest.fixture
def present() -> list[UsbDevice]:
    return [UsbDevice(0, "Desk", 0, "usb1/1-1"), UsbDevice(2, "Door", 0, "usb1/1-2")]


@pytest.fixture
def cameras(present: list[UsbDevice]) -> UsbCameras:
    devices: Callable[[], list[UsbDevice]] = present.copy
    return UsbCameras(devices)


def test_a_camera_is_found_again_in_its_socket_under_another_number(
    cameras: UsbCameras, present: list[UsbDevice]
) -> None:
    assert node_of(cameras, a_usb_camera()) == "/dev/video0"
    present[0] = UsbDevice(5, "Desk", 0, "usb1/1-1")
    assert node_of(cameras, a_usb_camera()) == "/dev/video5"


def test_another_camera_that_got_the_number_is_not_taken_for_it(
    cameras: UsbCameras, present: list[UsbDevice]
) -> None:
    assert node_of(cameras, a_usb_camera()) == "/dev/video0"
    del present[0]
    assert node_of(cameras, a_usb_camera()) == "/dev/video0"
    present.append(UsbDevice(0, "Gate", 0, "usb1/1-3"))
    with pytest.raises(SourceError, match="'Desk' is unplugged, and 'Gate' has") as caught:
        cameras(a_usb_camera())
    assert caught.value.code is ErrorCode.UNREACHABLE
    present[-1] = UsbDevice(0, "Desk", 0, "usb1/1-4")
    assert node_of(cameras, a_usb_camera()) == "/dev/video0"
