"""Real WebSockets: the server of the websockets library, and its ends."""

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from services.camera.tests.network_peers import (
    a_certificate,
    a_jpeg,
    a_network,
    a_stream,
    opened,
    pictures,
    tcp_peer,
)
from services.camera.tests.patience import PATIENT, failure
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from camera.adapters.network import Network
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.addresses import AddressPolicy
from mesh.events import StreamConfig, StreamType, TimestampSource

pytestmark = pytest.mark.integration
IMAGES = [a_jpeg(number) for number in range(3)]
TEXTS = [base64.b64encode(image).decode() for image in IMAGES]
MOMENT = datetime(2026, 11, 21, 10, 30, 0, 250_000, tzinfo=UTC)
Talk = Callable[[ServerConnection], None]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = a_network()
    yield made
    made.close()


@contextmanager
def server(talk: Talk, **options: Any) -> Iterator[int]:
    """A WebSocket server; its port."""
    with serve(talk, "127.0.0.1", 0, open_timeout=PATIENT, **options) as running:
        thread = Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running.socket.getsockname()[1]
        running.shutdown()
        thread.join(PATIENT)


def sends(*messages: bytes | str, code: int = 1000) -> Talk:
    def talk(connection: ServerConnection) -> None:
        for message in messages:
            connection.send(message)
        connection.close(code)

    return talk


def a_websocket(port: int, scheme: str = "ws", **changes: Any) -> StreamConfig:
    return a_stream(StreamType.WEBSOCKET, f"{scheme}://127.0.0.1:{port}/stream", **changes)


def refusal(network: Network, stream: StreamConfig, password: str | None = None) -> SourceError:
    with pytest.raises(SourceError) as caught:
        opened(network, stream, password).read()
    return caught.value


@pytest.mark.parametrize(
    ("protocol", "messages"),
    [
        ("binary", IMAGES),
        (None, IMAGES),
        ("base64", TEXTS),
        ("base64", [text.encode() for text in TEXTS]),
        ("base64", [f"data:image/jpeg;base64,{text}" for text in TEXTS]),
        ("json", [json.dumps({"image": text}) for text in TEXTS]),
    ],
)
def test_pictures_come_as_bytes_or_as_text_until_the_end(
    network: Network, protocol: str | None, messages: list[bytes | str]
) -> None:
    with server(sends("hello", b"\x00", *messages)) as port:
        source = opened(network, a_websocket(port, protocol=protocol))
        assert pictures(source, 3) == IMAGES
        assert source.read() is None
        assert source.passed_over == {"no_picture": 2}
        assert (source.transport, source.codec) == ("websocket", "mjpeg")
        source.close()


def test_a_message_may_tell_when_its_picture_was_taken(network: Network) -> None:
    message = json.dumps({"image": TEXTS[0], "timestamp": MOMENT.isoformat()})
    with server(sends(message, IMAGES[1])) as port:
        source = opened(network, a_websocket(port))
        first, second = source.read(), source.read()
        assert first is not None
        assert second is not None
        assert (first.claimed, first.source) == (MOMENT, TimestampSource.HEADER)
        assert (second.claimed, second.source) == (None, TimestampSource.ARRIVAL)
        assert first.size == len(message)
        source.close()


def test_a_password_in_the_address_goes_nowhere_else(network: Network) -> None:
    asked: list[tuple[str, str | None]] = []

    def talk(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        asked.append((request.path, request.headers.get("Authorization")))
        connection.send(IMAGES[0])

    with server(talk) as port:
        stream = a_websocket(port, username="guard")
        within = replace(stream, url=f"{stream.url}?u={{username}}&p={{password}}")
        source = opened(network, within, "p&ss")
        assert pictures(source, 1) == IMAGES[:1]
        source.close()
    assert asked == [("/stream?u=guard&p=p%26ss", None)]


def test_a_broken_picture_is_passed_over(network: Network) -> None:
    with server(sends(IMAGES[0][:-50], IMAGES[1])) as port:
        source = opened(network, a_websocket(port))
        assert pictures(source, 1) == IMAGES[1:2]
        assert source.passed_over == {"broken_picture": 1}
        source.close()


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (1008, ErrorCode.UNAUTHORIZED),
        (4401, ErrorCode.UNAUTHORIZED),
        (4404, ErrorCode.NOT_FOUND),
        (1003, ErrorCode.UNSUPPORTED),
        (1011, ErrorCode.UNREACHABLE),
    ],
)
def test_the_code_that_a_camera_closes_with_has_a_meaning(
    network: Network, code: int, meaning: ErrorCode
) -> None:
    with server(sends(code=code)) as port:
        error = refusal(network, a_websocket(port))
    assert error.code is meaning
    assert str(code) in str(error)


def test_a_message_that_is_too_long_is_told_by_its_limit(network: Network) -> None:
    with server(sends(IMAGES[0])) as port:
        error = refusal(network, a_websocket(port, max_message_bytes=1024))
    assert error.code is ErrorCode.UNSUPPORTED
    assert "longer than 1024 bytes" in str(error)


def test_a_connection_that_breaks_is_unreachable(network: Network) -> None:
    with server(lambda connection: connection.socket.close()) as port:
        assert refusal(network, a_websocket(port)).code is ErrorCode.UNREACHABLE


def test_a_camera_that_falls_silent_is_frozen(network: Network) -> None:
    over = Event()

    def silent(_: ServerConnection) -> None:
        over.wait(2 * PATIENT)

    with server(silent) as port:

        def attempt(seconds: float) -> object:
            return opened(network, a_websocket(port, timeout_seconds=seconds)).read()

        error, _ = failure(ErrorCode.FROZEN, attempt)
        over.set()
    assert error.code is ErrorCode.FROZEN


def guarded(connection: ServerConnection, request: Request) -> Response | None:
    token = base64.b64encode(b"guard:p\xc3\xa4ss").decode()
    if request.headers.get("Authorization") == f"Basic {token}":
        assert request.headers["X-Site"] == "north"
        return None
    if request.path == "/moved":
        moved = connection.respond(HTTPStatus.FOUND, "moved")
        moved.headers["Location"] = "ws://127.0.0.1:1/"
        return moved
    return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")


def test_a_camera_is_signed_in_to(network: Network) -> None:
    with server(sends(*IMAGES), process_request=guarded) as port:
        stream = a_websocket(port, username="guard", headers={"X-Site": "north"})
        source = opened(network, stream, "päss")
        assert pictures(source, 3) == IMAGES
        source.close()
        error = refusal(network, stream, "wrong")
        assert error.code is ErrorCode.UNAUTHORIZED
        assert "wrong" not in str(error)
        moved = a_stream(StreamType.WEBSOCKET, f"ws://127.0.0.1:{port}/moved")
        error = refusal(network, moved)
        assert error.code is ErrorCode.UNSUPPORTED
        assert "redirect" in str(error)


def test_what_speaks_no_websocket_is_told_so(network: Network) -> None:
    with tcp_peer(b"SSH-2.0-camera\r\n", hold=False, hello=True) as port:
        error = refusal(network, a_websocket(port))
    assert error.code is ErrorCode.UNREACHABLE
    assert "something else than a WebSocket" in str(error)


def test_a_camera_has_to_prove_who_it_is(network: Network, tmp_path: Path) -> None:
    certificate, key = a_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusting = Network(AddressPolicy(), trust=ssl.create_default_context(cafile=certificate))
    with server(sends(*IMAGES), ssl=tls) as port:
        error = refusal(network, a_websocket(port, "wss"))
        assert error.code is ErrorCode.UNTRUSTED
        assert "the certificate is not trusted: self" in str(error)
        source = opened(trusting, a_websocket(port, "wss"))
        assert pictures(source, 3) == IMAGES
        source.close()
    trusting.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "morse"}, "protocol morse is none of binary, base64, json"),
        ({"username": "a:b"}, "username holds a colon"),
        ({"auth_type": "digest"}, "auth_type digest is none of basic"),
    ],
)
def test_settings_that_no_websocket_has_are_refused(
    network: Network, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        opened(network, a_websocket(9, **changes))
    assert caught.value.code is ErrorCode.UNSUPPORTED
