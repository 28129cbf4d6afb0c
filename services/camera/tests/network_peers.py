"""Cameras of the network as the tests need them: odd, slow, broken, and on this machine."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from services.camera.tests.patience import PATIENT

from camera.adapters.bridged_source import BridgedSource
from camera.adapters.network import Network
from camera.ports import FrameSource, SourceError, VideoFrame
from mesh.addresses import AddressPolicy, Resolve, resolve
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TIMEOUT = PATIENT
"""Of cameras whose time must not run out, seconds."""


def a_jpeg(number: int = 0, width: int = 64, height: int = 48) -> bytes:
    """A picture that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
    made: bytes = simplejpeg.encode_jpeg(pixels, quality=80)
    return made


def a_network(forbidden: str = "", resolve: Resolve = resolve) -> Network:
    """A network that trusts no certificate: to load those of the system takes its time."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return Network(AddressPolicy.parse(forbidden), resolve=resolve, trust=trust)


def a_stream(kind: StreamType, url: str | None = None, **changes: Any) -> StreamConfig:
    return StreamConfig(stream_type=kind, url=url, **{"timeout_seconds": TIMEOUT} | changes)


def opened(network: Network, stream: StreamConfig, password: str | None = None) -> BridgedSource:
    source = network.makers[stream.stream_type](a_camera(stream=stream), password)
    assert isinstance(source, BridgedSource)
    try:
        source.open()
    except SourceError:
        source.close()
        raise
    return source


def read(source: FrameSource, count: int) -> list[VideoFrame]:
    frames = [source.read() for _ in range(count)]
    return [frame for frame in frames if frame is not None]


def pictures(source: FrameSource, count: int) -> list[bytes | None]:
    return [frame.jpeg() for frame in read(source, count)]


def check_clip(source: BridgedSource) -> None:
    """The twenty pictures of the clip come, and then the camera hangs up."""
    frames = read(source, 20)
    assert [(frame.width, frame.height) for frame in frames] == [(160, 96)] * 20
    assert len({frame.fingerprint() for frame in frames}) == 20
    assert source.read() is None
    assert (source.transport, source.codec) == ("tcp", "mjpeg")
    assert not source.passed_over
    source.close()


@contextmanager
def tcp_peer(*pieces: bytes, hold: bool = True, hello: bool = False) -> Iterator[int]:
    """Sends the pieces to whoever connects, each in packets of its own; its port.

    Args:
        pieces: What is sent.
        hold: Keeps the connection open afterwards.
        hello: Waits until the other side has sent something first.
    """
    over = threading.Event()

    def send(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hello:
            connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)
        if hold:
            over.wait(2 * PATIENT)

    with tcp_server(send) as port:
        yield port
        over.set()


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses every connection, and that nobody else takes meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serves every connection in a thread of its own, until the client hangs up; its port."""

    def attend(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=attend, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENT)


@contextmanager
def http_peer(routes: dict[str, Handler], tls: Any = None) -> Iterator[str]:
    """An HTTP server; its address without a path."""
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), 0

    async def start() -> web.AppRunner:
        nonlocal port
        app = web.Application()
        for path, handler in routes.items():
            app.router.add_get(path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        if tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(PATIENT)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENT)


def multipart(images: Iterable[bytes], *, headers: str = "") -> Handler:
    """Sends the pictures as parts, each with its length, then waits."""
    images = list(images)

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
        )
        await response.prepare(request)
        for image in images:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n"
            await response.write(f"{head}{headers}\r\n".encode() + image + b"\r\n")
        await asyncio.sleep(2 * PATIENT)
        return response

    return handle


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that only those trust who have it, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camera")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    kept, secret = folder / "camera.pem", folder / "camera.key"
    kept.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return kept, secret
