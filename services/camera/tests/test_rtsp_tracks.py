"""RTSP cameras with more than one track: none may hide that the pictures stand still."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services.camera.tests.patience import failure
from services.camera.tests.rtsp_servers import Server, rtsp_servers

from camera.adapters.rtsp_cameras import RtspCameras
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from local import rtsp
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

pytestmark = pytest.mark.integration
PICTURES = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=160,height=96,"
    "framerate=20/1 ! valve name=valve ! jpegenc ! rtpjpegpay name=pay{}"
)
SOUND = "audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! rtpL16pay name=pay{}"
OTHER_PICTURES = PICTURES.replace("valve name=valve ! ", "").replace("width=160", "width=320")
Start = Callable[[str], Server]


@pytest.fixture
def peer() -> Iterator[Start]:
    """Serves a pipeline."""
    program = str(Path(__file__).with_name("rtsp_peer.py"))
    with rtsp_servers() as start:
        yield lambda pipeline: start(rtsp.SYSTEM_PYTHON, "-I", program, pipeline)


@pytest.mark.parametrize(
    ("transport", "tracks"),
    [
        ("tcp", (PICTURES, SOUND)),
        ("tcp", (SOUND, PICTURES)),
        ("tcp", (PICTURES, OTHER_PICTURES)),
        ("udp", (PICTURES, OTHER_PICTURES)),
    ],
)
def test_pictures_that_freeze_while_another_track_goes_on_are_frozen(
    peer: Start, transport: str, tracks: tuple[str, str]
) -> None:
    server = peer(" ".join(track.format(number) for number, track in enumerate(tracks)))

    def freeze(seconds: float) -> None:
        stream = StreamConfig(
            stream_type=StreamType.RTSP,
            url=server.address,
            transport=transport,
            timeout_seconds=seconds,
        )
        source = RtspCameras()(a_camera(stream=stream))
        try:
            begin(source.open, source.read)
            os.kill(server.process.pid, signal.SIGUSR1)
            for _ in range(1000):
                source.read()
        finally:
            source.close()

    def begin(connect: Callable[[], None], read: Callable[[], object]) -> None:
        try:
            connect()
            assert [getattr(read(), "width", None) for _ in range(3)] == [160] * 3
        except SourceError as error:
            raise SourceError(ErrorCode.TIMEOUT, "it never was alive") from error

    error, seconds = failure(ErrorCode.FROZEN, freeze, (2.0, 8.0, 32.0))
    assert error.code is ErrorCode.FROZEN
    assert str(error) == f"no picture for {seconds:g} s"
