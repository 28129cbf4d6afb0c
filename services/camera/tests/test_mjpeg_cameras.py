"""Real MJPEG over HTTP: FFmpeg's own server, odd multipart, passwords, redirects, TLS."""

import base64
import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest
from aiohttp import web
from services.camera.tests.network_peers import (
    Handler,
    a_certificate,
    a_jpeg,
    a_network,
    a_stream,
    check_clip,
    http_peer,
    multipart,
    opened,
    pictures,
    tcp_peer,
    tcp_server,
)

from camera.adapters.network import Network
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.addresses import AddressPolicy
from mesh.events import StreamConfig, StreamType, TimestampSource

pytestmark = pytest.mark.integration
IMAGES = [a_jpeg(number) for number in range(4)]
MOMENT = datetime(2026, 11, 21, 10, 30, 0, 250_000, tzinfo=UTC)
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=ffmpeg\r\n\r\n"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = a_network("203.0.113.0/24")
    yield made
    made.close()


def an_mjpeg(url: str, **changes: object) -> StreamConfig:
    return a_stream(StreamType.HTTP_MJPEG, url, **changes)


def refusal(network: Network, stream: StreamConfig, password: str | None = None) -> SourceError:
    with pytest.raises(SourceError) as caught:
        opened(network, stream, password)
    return caught.value


def test_what_ffmpeg_muxes_is_read_until_it_hangs_up(network: Network, clip: Path) -> None:
    def send(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(HEAD)
        with (
            connection,
            connection.makefile("wb") as wire,
            av.open(wire, "w", format="mpjpeg") as out,
            av.open(str(clip)) as film,
        ):
            stream = out.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
            for frame in film.decode(video=0):
                out.mux(stream.encode(frame.reformat(format="yuvj420p")))

    with tcp_server(send) as port:
        check_clip(opened(network, an_mjpeg(f"http://127.0.0.1:{port}/")))


def part(
    image: bytes, *, line: str = "\r\n", boundary: str = "--frame", length: int | None = None
) -> bytes:
    """A picture as servers send it, more or less."""
    headers = [boundary, "content-TYPE: image/jpeg"]
    if length is not None:
        headers.append(f"Content-length:{length}")
    return line.join([*headers, "", ""]).encode() + image + line.encode()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/x-mixed-replace; boundary=frame", b"".join(map(part, IMAGES))),
        (
            'multipart/x-mixed-replace;boundary="frame"',
            b"preamble\r\n" + b"".join(map(part, IMAGES)),
        ),
        ("Multipart/X-Mixed-Replace; boundary=--frame", b"".join(map(part, IMAGES))),
        ("multipart/x-mixed-replace", b"".join(map(part, IMAGES))),
        (
            "multipart/x-mixed-replace; boundary=another",
            b"".join(part(image, boundary="--video boundary--") for image in IMAGES),
        ),
        ("multipart/mixed; boundary=frame", b"".join(part(image, line="\n") for image in IMAGES)),
        (
            "multipart/x-mixed-replace; boundary=frame",
            b"".join(part(image, length=len(image)) for image in IMAGES),
        ),
        (
            "multipart/x-mixed-replace; boundary=frame",
            b"".join(part(image, length=7) for image in IMAGES),
        ),
        (
            "multipart/x-mixed-replace; boundary=frame",
            b"".join(part(image, length=10**9) for image in IMAGES),
        ),
        ("application/octet-stream", b"".join(IMAGES)),
    ],
)
def test_every_kind_of_multipart_is_read(network: Network, kind: str, body: bytes) -> None:
    head = f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode()
    data = head + body
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    with tcp_peer(*pieces, hello=True) as port:
        source = opened(network, an_mjpeg(f"http://127.0.0.1:{port}/video"))
        assert pictures(source, 4) == IMAGES
        source.close()


def test_a_picture_is_passed_on_byte_by_byte_with_its_own_time(network: Network) -> None:
    stamp = f"X-Timestamp: {MOMENT.timestamp()}\r\n"
    with http_peer({"/": multipart(IMAGES, headers=stamp)}) as address:
        source = opened(network, an_mjpeg(address))
        frame = source.read()
        assert frame is not None
        assert frame.jpeg() == IMAGES[0]
        assert (frame.claimed, frame.source) == (MOMENT, TimestampSource.HEADER)
        assert frame.size >= len(IMAGES[0])
        source.close()


def test_a_camera_that_answers_with_one_picture_is_asked_again(network: Network) -> None:
    asked = 0

    async def one(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(body=IMAGES[asked % 4], content_type="image/jpeg")

    with http_peer({"/still.jpg": one}) as address:
        source = opened(network, an_mjpeg(f"{address}/still.jpg", fps=50.0))
        assert pictures(source, 3) == [IMAGES[1], IMAGES[2], IMAGES[3]]
        source.close()


def signed(method: str) -> Handler:
    """Lets in whoever knows the password, and tells nobody else how many there are."""

    async def handle(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if method == "digest":
            offer = 'Digest realm="cam", nonce="abc", qop="auth"'
            knows = is_right(given, request.path_qs)
        else:
            offer = 'Basic realm="cam"'
            knows = given == f"Basic {base64.b64encode('guard:pä:ss'.encode()).decode()}"
        if not knows:
            return web.Response(status=401, headers={"WWW-Authenticate": offer})
        return await multipart(IMAGES)(request)

    return handle


def is_right(given: str, path: str) -> bool:
    said = dict(re.findall(r'(\w+)="?([^",]+)"?', given.removeprefix("Digest ")))

    def digest(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    first, second = digest("guard:cam:pä:ss"), digest(f"GET:{path}")
    middle = f"{said.get('nonce')}:{said.get('nc')}:{said.get('cnonce')}:{said.get('qop')}"
    return said.get("response") == digest(f"{first}:{middle}:{second}")


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_camera_is_signed_in_to_as_it_asks(network: Network, method: str) -> None:
    with http_peer({"/live": signed(method)}) as address:
        for told in (None, method):
            stream = an_mjpeg(f"{address}/live?a=1%2B2", username="guard", auth_type=told)
            source = opened(network, stream, "pä:ss")
            assert pictures(source, 1) == IMAGES[:1]
            source.close()
            for wrong in ("wrong-secret", None):
                error = refusal(network, stream, wrong)
                assert error.code is ErrorCode.UNAUTHORIZED
                assert "wrong-secret" not in str(error)
        assert refusal(network, an_mjpeg(f"{address}/live")).code is ErrorCode.UNAUTHORIZED


def test_a_camera_that_wants_its_password_in_the_address_finds_it_there(network: Network) -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        if request.query["pwd"] != "p&s/s wörd":
            return web.Response(status=401)
        return await multipart(IMAGES)(request)

    with http_peer({"/{user}/live": handle}) as address:
        url = f"{address}/{{username}}/live?pwd={{password}}"
        stream = an_mjpeg(url, username="guard")
        source = opened(network, stream, "p&s/s wörd")
        assert pictures(source, 1) == IMAGES[:1]
        source.close()
        error = refusal(network, stream, "wrong-s/cret")
    assert asked[0] == "/guard/live?pwd=p%26s%2Fs%20w%C3%B6rd"
    assert error.code is ErrorCode.UNAUTHORIZED
    assert "cret" not in f"{error!r}"
    gone = refusal(network, stream, "wrong-s/cret")
    assert gone.code is ErrorCode.UNREACHABLE
    assert "cret" not in f"{gone!r}"


def test_headers_are_sent_along_but_credentials_never_to_another_host(network: Network) -> None:
    seen: dict[str, dict[str, str]] = {}

    def note(name: str, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            seen[name] = dict(request.headers)
            return await handler(request)

        return handle

    def to(place: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": place})

        return handle

    with http_peer({"/": note("other", multipart(IMAGES))}) as other:
        routes = {"/start": note("start", to("/next")), "/next": note("next", to(f"{other}/"))}
        with http_peer(routes) as address:
            stream = an_mjpeg(
                f"{address}/start", username="guard", auth_type="basic", headers={"X-Site": "north"}
            )
            source = opened(network, stream, "secret")
            assert pictures(source, 1) == IMAGES[:1]
            source.close()
    for name in ("start", "next"):
        assert seen[name]["X-Site"] == "north"
        assert "Authorization" in seen[name]
    assert not {"X-Site", "Authorization"} & seen["other"].keys()


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("http://203.0.113.7/", ErrorCode.FORBIDDEN_ADDRESS),
        ("http://[::ffff:203.0.113.7]/", ErrorCode.FORBIDDEN_ADDRESS),
        ("http://inside/", ErrorCode.FORBIDDEN_ADDRESS),
        ("file:///etc/passwd", ErrorCode.UNSUPPORTED),
        ("/again", ErrorCode.UNSUPPORTED),
    ],
)
def test_a_redirect_leads_only_where_a_camera_may_be(place: str, code: ErrorCode) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=301, headers={"Location": place})

    network = a_network("203.0.113.0/24", lambda *_: ["203.0.113.9"])
    with http_peer({"/again": handle}) as address:
        assert refusal(network, an_mjpeg(f"{address}/again")).code is code
    network.close()


def answers(status: int, kind: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, content_type=kind, body=b"...")

    return handle


def test_an_answer_without_pictures_is_told_by_its_reason(network: Network) -> None:
    cases = {
        "/login": (200, "text/html", ErrorCode.UNSUPPORTED, "answers with text/html"),
        "/gone": (404, "text/plain", ErrorCode.NOT_FOUND, "no such stream"),
        "/no": (403, "text/plain", ErrorCode.UNAUTHORIZED, "answers with 403"),
        "/busy": (503, "text/plain", ErrorCode.UNREACHABLE, "answers with 503"),
    }
    with http_peer({path: answers(*case[:2]) for path, case in cases.items()}) as address:
        for path, (_, _, code, words) in cases.items():
            error = refusal(network, an_mjpeg(address + path))
            assert error.code is code
            assert words in str(error)
    error = refusal(network, an_mjpeg(address))
    assert error.code is ErrorCode.UNREACHABLE
    with tcp_peer(b"RTSP/1.0 400 Bad Request\r\n\r\n") as port:
        assert refusal(network, an_mjpeg(f"http://127.0.0.1:{port}/")).code is ErrorCode.UNREACHABLE
    with pytest.raises(SourceError, match="auth_type ntlm is none of basic, digest"):
        opened(network, an_mjpeg(address, auth_type="ntlm"))


def test_a_camera_has_to_prove_who_it_is(network: Network, tmp_path: Path) -> None:
    certificate, key = a_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusting = Network(AddressPolicy(), trust=ssl.create_default_context(cafile=certificate))
    with http_peer({"/": multipart(IMAGES)}, tls) as address:
        error = refusal(network, an_mjpeg(address))
        assert error.code is ErrorCode.UNTRUSTED
        assert error.code.needs_people
        assert "the certificate is not trusted: self" in str(error)
        source = opened(trusting, an_mjpeg(address))
        assert pictures(source, 2) == IMAGES[:2]
        source.close()
        plain = refusal(network, an_mjpeg(address.replace("https", "http")))
        assert plain.code is ErrorCode.UNREACHABLE
    trusting.close()


def test_a_picture_that_is_too_large_is_passed_over(network: Network) -> None:
    large = a_jpeg(9, 256, 256)
    with http_peer({"/": multipart([IMAGES[0], large, IMAGES[1]])}) as address:
        source = opened(network, an_mjpeg(address, max_message_bytes=len(large) - 1))
        assert pictures(source, 2) == IMAGES[:2]
        assert source.passed_over == {"picture_too_large": 1}
        source.close()
