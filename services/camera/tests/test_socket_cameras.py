"""Cameras over bare TCP: GStreamer as sender, framings, and what breaks them."""

import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from services.camera.tests.network_peers import (
    a_jpeg,
    a_network,
    a_stream,
    opened,
    pictures,
    read,
    tcp_peer,
)
from services.camera.tests.patience import failure

from camera.adapters.checked_connections import keep_alive
from camera.adapters.network import Network
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from local.rtsp import SYSTEM_PYTHON
from mesh.events import StreamConfig, StreamType

pytestmark = pytest.mark.integration
IMAGES = [a_jpeg(number) for number in range(3)]
GSTREAMER = """
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst, GLib
Gst.init(None)
pipeline = Gst.parse_launch(
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=96,framerate=50/1"
    " ! jpegenc ! tcpserversink name=sink host=127.0.0.1 port=0 sync-method=next-keyframe")
pipeline.set_state(Gst.State.PLAYING)
pipeline.get_state(5 * Gst.SECOND)
print(pipeline.get_by_name("sink").get_property("current-port"), flush=True)
GLib.MainLoop().run()
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = a_network()
    yield made
    made.close()


def a_socket(port: int, **changes: Any) -> StreamConfig:
    return a_stream(StreamType.SOCKET, host="127.0.0.1", port=port, **changes)


def prefixed(*images: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(image)) + image for image in images)


def test_what_gstreamer_serves_is_read(network: Network) -> None:
    peer = subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", GSTREAMER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert peer.stdout is not None
        port = peer.stdout.readline().strip()
        if not port:
            pytest.skip("no GStreamer with jpegenc and tcpserversink")
        source = opened(network, a_socket(int(port)))
        frames = read(source, 5)
        assert [(frame.width, frame.height) for frame in frames] == [(160, 96)] * 5
        assert source.passed_over.keys() <= {"garbage", "broken_picture"}
        source.close()
    finally:
        peer.kill()
        peer.communicate()


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({}, b"".join(IMAGES)),
        ({"protocol": "custom_v1", "frame_delimiter": b"\xff\xd8\xff\xe0"}, b"".join(IMAGES)),
        ({"protocol": "delimited", "frame_delimiter": b"\xff\xd8"}, b"\r\n".join(IMAGES)),
        ({"frame_delimiter": b"##"}, b"".join(b"##" + image for image in IMAGES)),
        ({"protocol": "length_prefixed"}, prefixed(*IMAGES)),
        ({"protocol": "length_prefixed", "keepalive": False}, bytes(4) + prefixed(*IMAGES)),
    ],
)
def test_every_framing_is_read_however_it_is_cut(
    network: Network, changes: dict[str, object], data: bytes
) -> None:
    pieces = [data[at : at + 700] for at in range(0, len(data), 700)]
    with tcp_peer(*pieces, hold=False) as port:
        source = opened(network, a_socket(port, **changes))
        assert pictures(source, 3) == IMAGES
        assert source.read() is None
        assert not source.passed_over
        source.close()


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        ("custom_v1", IMAGES[0] + b"garbage" + IMAGES[1]),
        ("length_prefixed", prefixed(IMAGES[0]) + b"garbage" + prefixed(IMAGES[1])),
    ],
)
def test_after_garbage_the_next_picture_is_found(
    network: Network, protocol: str, data: bytes
) -> None:
    with tcp_peer(data) as port:
        source = opened(network, a_socket(port, protocol=protocol))
        assert pictures(source, 2) == IMAGES[:2]
        assert source.passed_over == {"garbage": 1}
        source.close()


@pytest.mark.parametrize("protocol", ["custom_v1", "length_prefixed"])
def test_a_picture_above_the_limit_is_passed_over(network: Network, protocol: str) -> None:
    large = a_jpeg(9, 200, 200)
    images = (IMAGES[0], large, IMAGES[1])
    data = prefixed(*images) if protocol == "length_prefixed" else b"".join(images)
    with tcp_peer(data) as port:
        stream = a_socket(port, protocol=protocol, max_message_bytes=len(large) - 1)
        source = opened(network, stream)
        assert pictures(source, 2) == IMAGES[:2]
        assert source.passed_over == {"picture_too_large": 1}
        source.close()


def test_a_camera_that_sends_anything_but_pictures_is_unreadable(network: Network) -> None:
    with tcp_peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:

        def attempt(seconds: float) -> object:
            stream = a_socket(port, protocol="length_prefixed", timeout_seconds=seconds)
            source = opened(network, stream)
            try:
                return source.read()
            finally:
                source.close()

        error, _ = failure(ErrorCode.UNREADABLE, attempt)
    assert error.code is ErrorCode.UNREADABLE
    assert "garbage" in str(error)


def test_the_kernel_probes_an_idle_connection() -> None:
    with socket.socket() as connection:
        keep_alive(connection)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


def test_a_protocol_that_is_none_is_refused(network: Network) -> None:
    with pytest.raises(SourceError, match="morse is none of custom_v1, delimited, length_pre"):
        opened(network, a_socket(9, protocol="morse"))
