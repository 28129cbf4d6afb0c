"""FFmpeg follows redirects of RTSP by itself, unchecked: what the place may hear that they name."""

import re
import socket

import pytest
from services.camera.tests.network_peers import tcp_server
from services.camera.tests.patience import PATIENT

from camera.adapters.rtsp_cameras import RtspCameras
from camera.ports import SourceError
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

pytestmark = pytest.mark.integration
_NUMBER = re.compile(rb"CSeq: *(\d+)")


@pytest.mark.parametrize("asked", [b"OPTIONS", b"DESCRIBE"])
def test_the_place_of_a_redirect_hears_one_question_without_credentials(asked: bytes) -> None:
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))

    def redirect(connection: socket.socket) -> None:
        while said := connection.recv(65536):
            number = _NUMBER.search(said)
            assert number
            answer = b"302 Found" if said.startswith(asked) else b"200 OK"
            place = b"Location: rtsp://127.0.0.1:%d/x" % elsewhere
            connection.sendall(
                b"\r\n".join([b"RTSP/1.0 " + answer, number.group(), place, b"", b""])
            )

    with tcp_server(listen) as elsewhere, tcp_server(redirect) as camera:
        stream = StreamConfig(
            stream_type=StreamType.RTSP,
            url=f"rtsp://127.0.0.1:{camera}/cam0",
            transport="tcp",
            username="guard",
            timeout_seconds=PATIENT,
        )
        source = RtspCameras()(a_camera(stream=stream), "secret")
        with pytest.raises(SourceError):
            source.open()
        source.close()
    assert len(heard) <= 1
    for said in heard:
        assert said.startswith(b"OPTIONS ")
        assert b"Authorization" not in said
        assert b"guard" not in said
