"""No password of a camera stands in a log, a topic, or a metric, whatever goes wrong with it."""

import base64
import json
import re
import signal
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2
import pytest
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr
from services.camera.tests.network_peers import a_jpeg, closed_port, http_peer, multipart
from services.camera.tests.network_peers import tcp_server as serving
from services.camera.tests.patience import PATIENT
from services.camera.tests.rtsp_servers import rtsp_servers
from services.camera.tests.sites import Site, a_looped, a_site

from local import rtsp
from mesh.crypto import Cipher
from mesh.events import Camera, CameraStatus, DiscoverCameras, StreamConfig, StreamState, StreamType
from mesh.kafka import EventProducer
from mesh.stage import Output

pytestmark = [pytest.mark.integration, pytest.mark.slow]
USER = "guard"
Reply = Callable[[bytes], bytes]
_AUTHORIZATION = re.compile(rb"(?im)^authorization: *([^\r\n]*)")
_CSEQ = re.compile(rb"(?im)^cseq: *\d+")
KINDS = (
    "rtsp",
    "rtsp in its query",
    "mjpeg",
    "mjpeg basic",
    "mjpeg in its query",
    "ws",
    "ws query",
)


def answer(request: bytes, status: str, *lines: str) -> bytes:
    """An answer of the protocol in which was asked."""
    protocol = "RTSP/1.0" if b"RTSP/1.0" in request else "HTTP/1.1"
    place = _CSEQ.search(request)
    said = [f"{protocol} {status}", *([place[0].decode()] if place else []), *lines]
    return ("\r\n".join([*said, "Content-Length: 0", "", ""])).encode("utf-8", "replace")


def refuses(challenge: str, request: bytes) -> bytes:
    return answer(request, "401 Unauthorized", f"WWW-Authenticate: {challenge}")


def echoes(request: bytes) -> bytes:
    """Tells in its refusal what it was told, once it was told a password."""
    given = _AUTHORIZATION.search(request)
    asked = request.split(b"\r\n", 1)[0].decode("utf-8", "replace")
    if given is None and b"=" not in asked.encode():
        return refuses('Basic realm="camera"', request)
    said = given[1].decode("utf-8", "replace") if given else asked
    return answer(request, f"500 {said}", f"X-Said: {said}")


def redirects(request: bytes) -> bytes:
    """To a port that refuses, with everything that it was told."""
    words = request.split(b"\r\n", 1)[0].decode("utf-8", "replace").split(" ")
    path = words[1] if len(words) > 1 else "/"
    scheme = "rtsp" if b"RTSP/1.0" in request else "http"
    place = urlsplit(path)
    return answer(
        request, "302 Found", f"Location: {scheme}://127.0.0.1:1{place.path}?{place.query}"
    )


REPLIES: Mapping[str, Reply] = {
    "refuses basic": partial(refuses, 'Basic realm="camera"'),
    "refuses digest": partial(refuses, 'Digest realm="camera", nonce="abc", qop="auth"'),
    "echoes": echoes,
    "redirects": redirects,
    "is not there": lambda request: answer(request, "404 Not Found"),
    "talks nonsense": lambda request: b"\xff\x00" * 500 + request,
    "hangs up": lambda _: b"",
}


def replying(reply: Reply) -> Callable[[socket.socket], None]:
    """A peer that answers every request in this way, and hangs up with an empty answer."""

    def serve(connection: socket.socket) -> None:
        while (request := connection.recv(65536)) and (said := reply(request)):
            connection.sendall(said)

    return serve


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@dataclass
class Guarded:
    """Cameras with a password of their own each, and what must not be found anywhere."""

    clip: Path
    cipher: Cipher
    cameras: list[Camera] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def secret(self) -> str:
        """A password that has to be quoted in addresses; its letters are found in any spelling."""
        made = f"p{uuid.uuid4().hex}/ä:@ {uuid.uuid4().hex}"
        self.secrets.append(made)
        return made

    def add(self, stream: StreamConfig, secret: str | None = None) -> Camera:
        sealed = self.cipher.encrypt((secret or self.secret()).encode())
        stream = replace(stream, password_encrypted=sealed, timeout_seconds=1.0)
        camera = replace(a_looped(self.clip), camera_id=f"cam_{uuid.uuid4()}", stream=stream)
        self.cameras.append(camera)
        return camera

    def at(self, port: int) -> None:
        """A camera of every kind there."""
        for kind in KINDS:
            self.add(stream_of(kind, port))

    def spellings(self) -> Sequence[bytes]:
        """What would give one of them away: its halves, and what basic sign-in makes of it."""
        found: list[bytes] = []
        for secret in self.secrets:
            found += [half.encode() for half in re.findall("[0-9a-f]{32}", secret)]
            for text in (secret, f"{USER}:{secret}"):
                found += [base64.b64encode(text.encode(code))[:40] for code in ("utf-8", "latin-1")]
        return found


def stream_of(kind: str, port: int) -> StreamConfig:
    scheme = {"r": "rtsp", "m": "http", "w": "ws"}[kind[0]]
    types = {"rtsp": StreamType.RTSP, "http": StreamType.HTTP_MJPEG, "ws": StreamType.WEBSOCKET}
    in_query = "query" in kind
    query = "?u={username}&pwd={password}" if in_query else ""
    return StreamConfig(
        stream_type=types[scheme],
        url=f"{scheme}://127.0.0.1:{port}/live{query}",
        transport="tcp" if scheme == "rtsp" else None,
        auth_type="basic" if "basic" in kind or kind == "ws" else None,
        username=USER,
    )


@pytest.fixture
def site(kafka: str, registry: str, tmp_path: Path) -> Iterator[Site]:
    with a_site(kafka, registry, tmp_path) as made:
        yield made


@pytest.fixture
def key() -> str:
    return Cipher.new_key()


@pytest.fixture
def guarded(clip: Path, key: str) -> Iterator[Guarded]:
    """Cameras of every kind at peers of every kind, and some that show pictures."""
    made = Guarded(clip, Cipher(SecretStr(key)))
    with ExitStack() as peers:
        for reply in REPLIES.values():
            made.at(peers.enter_context(serving(replying(reply))))
        made.at(peers.enter_context(serving(silent)))
        made.at(peers.enter_context(closed_port()))
        for scheme, kind in (("rtsps", "rtsp"), ("https", "mjpeg"), ("wss", "ws query")):
            port = peers.enter_context(serving(replying(echoes)))
            plain = stream_of(kind, port)
            made.add(replace(plain, url=(plain.url or "").replace("://", "s://", 1)))
            assert (made.cameras[-1].stream.url or "").startswith(scheme)
        shows = peers.enter_context(http_peer({"/live": multipart([a_jpeg(n) for n in range(8)])}))
        made.at(urlsplit(shows).port or 0)
        start = peers.enter_context(rtsp_servers())
        secret = made.secret()
        options = ("--auth", "digest", "--user", USER, "--password", secret)
        address = start(*rtsp.command(clip, 0, 1, *options)).address
        echo = peers.enter_context(serving(replying(echoes)))
        stream = StreamConfig(
            stream_type=StreamType.RTSP,
            url=address,
            sub_url=f"rtsp://127.0.0.1:{echo}/small?pwd={{password}}",
            username=USER,
            transport="tcp",
        )
        made.add(stream, secret)
        yield made


def records(site: Site, bootstrap: str, topic: str = "") -> Iterator[bytes]:
    """Every byte of every record of the site, or of a topic: keys, values and headers."""
    wanted = site.settings.topic_prefix + topic
    settings = {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    try:
        for name, known in consumer.list_topics(timeout=PATIENT).topics.items():
            for number in known.partitions if name.startswith(wanted) else ():
                yield from _read(consumer, TopicPartition(name, number))
    finally:
        consumer.close()


def _read(consumer: Consumer, place: TopicPartition) -> Iterator[bytes]:
    first, end = consumer.get_watermark_offsets(place, timeout=PATIENT)
    consumer.assign([TopicPartition(place.topic, place.partition, first)])
    at = first
    while at < end:
        message = consumer.poll(PATIENT)
        assert message is not None
        assert message.error() is None, message.error()
        at = (message.offset() or 0) + 1
        yield message.key() or b""
        yield message.value() or b""
        yield from (name.encode() + (value or b"") for name, value in message.headers() or ())


def has_shown_itself(site: Site, camera: Camera) -> bool:
    """Whether the camera was live, or failed."""
    statuses: list[CameraStatus] = site.of(CameraStatus, camera.camera_id)
    return any(each.state is StreamState.LIVE or each.error_code for each in statuses)


def look_for_cameras(site: Site, guarded: Guarded, bootstrap: str) -> None:
    """Has ONVIF asked for with a password at peers that are none."""
    ports = sorted({urlsplit(each.stream.url or "").port or 0 for each in guarded.cameras})
    command = DiscoverCameras(
        request_id="req_1",
        kinds=("onvif",),
        timeout_ms=2000,
        hosts=tuple(f"127.0.0.1:{port}" for port in ports),
        username=USER,
        password_encrypted=guarded.cipher.encrypt(guarded.secret().encode()),
        requested_by="ada",
        requested_at=datetime.now(UTC),
    )
    producer = EventProducer(site.settings, site.codec)
    producer.send(Output(site.settings.topics("camera.commands"), command.request_id, command))
    producer.flush()
    site.until(lambda: any(records(site, bootstrap, "answers")))


def test_no_password_is_told_to_anybody_but_its_camera(
    site: Site, guarded: Guarded, key: str, kafka: str
) -> None:
    for camera in guarded.cameras:
        site.register(camera)
    options = {"secret_key": key, "log_level": "DEBUG", "retry_seconds": "1", "stop_seconds": "5"}
    process = site.start("camera-s", connects_per_host="64", connects="64", **options)
    site.until(
        lambda: all(has_shown_itself(site, camera) for camera in guarded.cameras), 4 * PATIENT
    )
    site.until(lambda: "second_stream_failed" in site.log("camera-s"))
    look_for_cameras(site, guarded, kafka)
    told = [httpx2.get(f"{address(site)}/{page}").content for page in ("metrics", "ready", "live")]
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENT)
    told += [site.log("camera-s").encode(), *records(site, kafka)]
    everything = b"\n".join(told)
    found = [spelling for spelling in guarded.spellings() if spelling in everything]
    places = [line[:400] for each in found for line in everything.splitlines() if each in line]
    assert not found, places[:5]


def address(site: Site) -> str:
    lines = site.log("camera-s").splitlines()
    started = next(json.loads(line) for line in lines if "service_started" in line)
    return f"http://127.0.0.1:{started['metadata']['health_port']}"


@pytest.mark.parametrize("form", [str, partial(quote, safe="")])
def test_a_password_is_found_in_any_spelling(
    clip: Path, key: str, form: Callable[[str], str]
) -> None:
    """What the test above looks for would be there."""
    made = Guarded(clip, Cipher(SecretStr(key)))
    secret = made.secret()
    leaks = [form(secret).encode(), base64.b64encode(f"{USER}:{secret}".encode())]
    assert all(any(spelling in leak for spelling in made.spellings()) for leak in leaks)
