"""RTSP over TLS: nobody hears name and password who cannot prove to be the camera."""

import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from services.camera.tests.network_peers import a_certificate, closed_port, tcp_server
from services.camera.tests.patience import PATIENT

from camera.adapters.checked_urls import CheckedUrls
from camera.adapters.rtsp_cameras import RtspCameras
from camera.adapters.rtsp_trust import Trust
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.addresses import AddressPolicy
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

pytestmark = pytest.mark.integration
_NUMBER = re.compile(rb"CSeq: *(\d+)")
_GREETING = b"RTSP/1.0 200 OK\r\n%s\r\nPublic: DESCRIBE\r\n\r\n"
_NOTHING = b"RTSP/1.0 404 Not Found\r\n%s\r\n\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    return a_certificate(tmp_path_factory.mktemp("tls"))


def guarded(certificate: tuple[Path, Path], heard: list[bytes]) -> Callable[[socket.socket], None]:
    """A camera that shows nothing to those who trust its certificate."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) as safe:
            while said := safe.recv(65536):
                heard.append(said)
                number = _NUMBER.search(said)
                assert number
                answer = _GREETING if said.startswith(b"OPTIONS") else _NOTHING
                safe.sendall(answer % number.group())

    return serve


def refusal(url: str, trust: Trust | None = None, transport: str = "tcp") -> SourceError:
    """Why a camera cannot be read."""
    stream = StreamConfig(
        stream_type=StreamType.RTSP,
        url=url,
        transport=transport,
        username="guard",
        timeout_seconds=PATIENT,
    )
    urls = CheckedUrls(AddressPolicy(), resolve=lambda *_: ["127.0.0.1"])
    source = RtspCameras(urls=urls, trust=trust or Trust())(a_camera(stream=stream), "secret")
    with pytest.raises(SourceError) as caught:
        source.open()
    source.close()
    return caught.value


@pytest.mark.parametrize("transport", ["tcp", "auto"])
def test_a_camera_whose_certificate_nobody_vouches_for_hears_nothing(
    certificate: tuple[Path, Path], transport: str
) -> None:
    heard: list[bytes] = []
    with tcp_server(guarded(certificate, heard)) as port:
        error = refusal(f"rtsps://127.0.0.1:{port}/x", transport=transport)
    assert error.code is ErrorCode.UNTRUSTED
    assert "127.0.0.1: the certificate is not trusted: self" in str(error)
    assert not heard


def test_a_camera_whose_certificate_is_trusted_is_asked(certificate: tuple[Path, Path]) -> None:
    heard: list[bytes] = []
    with tcp_server(guarded(certificate, heard)) as port:
        error = refusal(f"rtsps://127.0.0.1:{port}/x", Trust(str(certificate[0])))
    assert error.code is ErrorCode.NOT_FOUND
    assert [said.split()[0] for said in heard] == [b"OPTIONS", b"DESCRIBE"]


def test_a_trusted_certificate_of_another_host_is_not_enough(
    certificate: tuple[Path, Path],
) -> None:
    heard: list[bytes] = []
    with tcp_server(guarded(certificate, heard)) as port:
        error = refusal(f"rtsps://localhost:{port}/x", Trust(str(certificate[0])))
    assert error.code is ErrorCode.UNTRUSTED
    assert "localhost" in str(error)
    assert not heard


def test_a_camera_that_ends_the_handshake_is_unreachable(certificate: tuple[Path, Path]) -> None:
    with tcp_server(lambda connection: connection.close()) as port:
        error = refusal(f"rtsps://127.0.0.1:{port}/x", Trust(str(certificate[0])))
    assert error.code is ErrorCode.UNREACHABLE
    with closed_port() as port:
        error = refusal(f"rtsps://127.0.0.1:{port}/x", Trust(str(certificate[0])))
    assert error.code is ErrorCode.UNREACHABLE


def test_those_are_believed_whom_the_system_or_its_setting_names(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert Trust().authorities == str(certificate[0])
    bundle = certificate[0].with_name("ca-certificates.crt")
    bundle.write_bytes(certificate[0].read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", str(bundle.parent))
    assert Trust().authorities == str(bundle)
    bundle.unlink()
    assert Trust().options == {"tls_verify": "1"}
