"""What all cameras of the network have in common: time-outs, interruptions, and the bridge."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from services.camera.tests.network_peers import (
    a_jpeg,
    a_network,
    a_stream,
    closed_port,
    opened,
    pictures,
    read,
    tcp_peer,
    tcp_server,
)
from services.camera.tests.patience import PATIENT, failure

from camera.adapters.jpeg_frame import JpegFrame
from camera.adapters.network import Network
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.events import INLINE_BYTES, StreamConfig, StreamType, TimestampSource
from mesh.testing import a_camera

pytestmark = pytest.mark.integration
IMAGES = [a_jpeg(number) for number in range(3)]
MULTIPART = (
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: image/jpeg\r\n\r\n"
)
KINDS = [StreamType.HTTP_MJPEG, StreamType.SOCKET]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = a_network()
    yield made
    made.close()


def at(port: int, kind: StreamType, host: str = "127.0.0.1", **changes: Any) -> StreamConfig:
    if kind is StreamType.SOCKET:
        return a_stream(kind, host=host, port=port, **changes)
    scheme = "ws" if kind is StreamType.WEBSOCKET else "http"
    return a_stream(kind, f"{scheme}://{host}:{port}/", **changes)


def before(kind: StreamType) -> bytes:
    return b"" if kind is StreamType.SOCKET else MULTIPART


def watching(network: Network, port: int, kind: StreamType) -> Callable[[float], object]:
    """Reads the camera until that fails, with a time-out that is given."""

    def attempt(seconds: float) -> object:
        source = opened(network, at(port, kind, timeout_seconds=seconds))
        try:
            return read(source, 100)
        finally:
            source.close()

    return attempt


@pytest.mark.parametrize("kind", KINDS)
def test_a_camera_that_falls_silent_is_frozen(network: Network, kind: StreamType) -> None:
    with tcp_peer(before(kind), IMAGES[0]) as port:
        error, seconds = failure(ErrorCode.FROZEN, watching(network, port, kind))
    assert error.code is ErrorCode.FROZEN
    assert f"no whole picture for {seconds:g} s" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_trickle_are_no_sign_of_life(network: Network, kind: StreamType) -> None:
    over = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(before(kind) + IMAGES[0][:100])
        while not over.wait(0.02):
            connection.sendall(b"\x11")

    with tcp_server(trickle) as port:
        error, _ = failure(ErrorCode.FROZEN, watching(network, port, kind))
        over.set()
    assert error.code is ErrorCode.FROZEN


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_that_are_all_broken_are_an_error_of_their_own(
    network: Network, kind: StreamType
) -> None:
    over = threading.Event()

    def send(connection: socket.socket) -> None:
        connection.sendall(before(kind))
        while not over.wait(0.02):
            connection.sendall(IMAGES[0][:-200])

    with tcp_server(send) as port:
        error, _ = failure(ErrorCode.UNREADABLE, watching(network, port, kind))
        over.set()
    assert error.code is ErrorCode.UNREADABLE
    assert "broken_picture" in str(error)


def test_a_broken_picture_among_others_is_passed_over_and_counted(network: Network) -> None:
    with tcp_peer(IMAGES[0], IMAGES[1][:-300], IMAGES[2]) as port:
        source = opened(network, at(port, StreamType.SOCKET))
        assert pictures(source, 2) == [IMAGES[0], IMAGES[2]]
        assert source.passed_over == {"broken_picture": 1}
        source.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_camera_that_hangs_up_has_ended_its_stream(network: Network, kind: StreamType) -> None:
    with tcp_peer(before(kind), *IMAGES, hold=False, hello=kind is not StreamType.SOCKET) as port:
        source = opened(network, at(port, kind))
        assert pictures(source, 3) == IMAGES
        assert source.read() is None
        assert source.read() is None
        source.close()


@pytest.mark.parametrize("kind", [StreamType.HTTP_MJPEG, StreamType.WEBSOCKET])
def test_a_camera_that_does_not_answer_is_out_of_time(network: Network, kind: StreamType) -> None:
    with tcp_peer() as port, pytest.raises(SourceError, match=r"no answer for 0\.5 s") as caught:
        opened(network, at(port, kind, timeout_seconds=0.5))
    assert caught.value.code is ErrorCode.TIMEOUT


@pytest.mark.parametrize("kind", [*KINDS, StreamType.WEBSOCKET])
def test_a_port_that_nobody_serves_is_unreachable(network: Network, kind: StreamType) -> None:
    with closed_port() as port, pytest.raises(SourceError, match="refused") as caught:
        opened(network, at(port, kind))
    assert caught.value.code is ErrorCode.UNREACHABLE


@pytest.mark.parametrize("kind", [*KINDS, StreamType.WEBSOCKET])
def test_a_name_that_leads_to_a_forbidden_address_is_not_connected_to(kind: StreamType) -> None:
    with tcp_peer() as port:
        network = a_network("127.0.0.0/8", lambda *_: ["127.0.0.1"])
        for host in ("camera.example", "2130706433"):
            stream = at(port, kind, host)
            with pytest.raises(SourceError, match=r"leads to 127\.0\.0\.1") as caught:
                opened(network, stream)
            assert caught.value.code is ErrorCode.FORBIDDEN_ADDRESS
        network.close()


def test_a_name_without_an_address_is_unreachable() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError(f"{host}:{port} is unknown")

    network = a_network(resolve=nowhere)
    for kind in (*KINDS, StreamType.WEBSOCKET):
        with pytest.raises(SourceError, match=r"camera\.example") as caught:
            opened(network, at(9, kind, "camera.example"))
        assert caught.value.code is ErrorCode.UNREACHABLE
    network.close()


def test_a_blocked_read_ends_when_it_is_interrupted(network: Network) -> None:
    with tcp_peer(IMAGES[0]) as port:
        source = opened(network, at(port, StreamType.SOCKET, timeout_seconds=10 * PATIENT))
        assert pictures(source, 1) == IMAGES[:1]
        answers: list[object] = []
        reader = threading.Thread(target=lambda: answers.append(source.read()))
        reader.start()
        source.interrupt()
        reader.join(PATIENT)
        assert answers == [None]
        assert source.read() is None
        source.close()


def test_a_blocked_open_ends_when_it_is_interrupted(network: Network) -> None:
    with tcp_peer() as port:
        stream = at(port, StreamType.HTTP_MJPEG, timeout_seconds=10 * PATIENT)
        source = network.makers[stream.stream_type](a_camera(stream=stream), None)
        opening = threading.Thread(target=source.open)
        opening.start()
        source.interrupt()
        opening.join(PATIENT)
        assert not opening.is_alive()
        assert source.read() is None
        source.close()


@pytest.mark.parametrize("kind", [*KINDS, StreamType.WEBSOCKET])
def test_closing_is_repeatable_and_allowed_at_any_time(kind: StreamType) -> None:
    network, stream = a_network(), at(9, kind)
    source = network.makers[kind](a_camera(stream=stream), None)
    source.close()
    source.close()
    network.close()
    source.close()
    network.close()
    assert source.read() is None


def test_a_hundred_cameras_share_one_thread(network: Network) -> None:
    with tcp_peer(*IMAGES) as port:
        sources = [opened(network, at(port, StreamType.SOCKET)) for _ in range(100)]
        assert all(pictures(source, 3) == IMAGES for source in sources)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("camera-network") == 1
        for source in sources:
            source.close()


class TestFrames:
    def a_frame(self, image: bytes, width: int = 64, height: int = 48) -> JpegFrame:
        return JpegFrame(image=image, width=width, height=height, media_time=0.0, size=len(image))

    def test_a_picture_is_passed_on_as_it_came(self) -> None:
        frame = self.a_frame(IMAGES[0])
        assert frame.jpeg() is IMAGES[0]
        assert frame.small_jpeg() is None
        assert frame.source is TimestampSource.ARRIVAL
        assert frame.fingerprint() == self.a_frame(bytes(IMAGES[0])).fingerprint()
        assert frame.fingerprint() != self.a_frame(IMAGES[1]).fingerprint()

    def test_a_large_picture_becomes_coarser(self) -> None:
        large = a_jpeg(1, 1600, 1200)
        assert len(large) > INLINE_BYTES
        smaller = self.a_frame(large, 1600, 1200).jpeg()
        assert smaller is not None
        assert len(smaller) <= INLINE_BYTES
        assert self.a_frame(bytes(INLINE_BYTES + 1)).jpeg() is None

    @pytest.mark.parametrize(
        ("width", "height", "shape"),
        [(64, 48, (48, 64)), (640, 360, (72, 128)), (1921, 1081, (68, 121)), (48, 1000, (125, 6))],
    )
    def test_a_thumbnail_is_small_and_grey(
        self, width: int, height: int, shape: tuple[int, int]
    ) -> None:
        frame = self.a_frame(a_jpeg(0, width, height), width, height)
        thumbnail = frame.thumbnail()
        assert thumbnail.shape == shape
        assert thumbnail.dtype == np.uint8
        assert 100 < thumbnail.mean() < 150
        assert not self.a_frame(b"\xff\xd8 broken", width, height).thumbnail().any()
        assert self.a_frame(b"\xff\xd8", width, height).thumbnail().shape == shape


def test_frames_come_in_order_of_their_arrival(network: Network) -> None:
    with tcp_peer(*IMAGES) as port:
        source = opened(network, at(port, StreamType.SOCKET))
        times = [frame.media_time for frame in read(source, 3)]
        assert times == sorted(times)
        source.close()
