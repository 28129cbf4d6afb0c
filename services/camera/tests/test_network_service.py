"""Cameras of the network, read by the whole service on a real broker and registry."""

import contextlib
import signal
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from services.camera.tests.network_peers import a_jpeg, http_peer, multipart, tcp_peer
from services.camera.tests.patience import PATIENT
from services.camera.tests.sites import Site, a_looped, a_site, captured, published
from websockets.sync.server import ServerConnection, serve

from mesh.events import (
    Camera,
    CameraStatus,
    FrameCaptured,
    LedgerEntry,
    StreamConfig,
    StreamState,
    StreamType,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]
IMAGES = [a_jpeg(number) for number in range(8)]


@pytest.fixture
def site(kafka: str, registry: str, tmp_path: Path) -> Iterator[Site]:
    with a_site(kafka, registry, tmp_path) as made:
        yield made


@pytest.fixture
def cameras(clip: Path) -> Iterator[list[Camera]]:
    """One camera of each kind, which shows eight pictures and hangs up, and one that must not."""
    over = threading.Event()

    def talk(connection: ServerConnection) -> None:
        for image in IMAGES:
            connection.send(image)
        over.wait(4 * PATIENT)

    with contextlib.ExitStack() as peers:
        web = peers.enter_context(http_peer({"/": multipart(IMAGES)}))
        lengths = b"garbage" + b"".join(struct.pack(">I", len(image)) + image for image in IMAGES)
        port = peers.enter_context(tcp_peer(lengths))
        socket = peers.enter_context(serve(talk, "127.0.0.1", 0))
        threading.Thread(target=socket.serve_forever, daemon=True).start()
        live = socket.socket.getsockname()[1]
        streams = (
            StreamConfig(stream_type=StreamType.HTTP_MJPEG, url=web),
            StreamConfig(stream_type=StreamType.WEBSOCKET, url=f"ws://127.0.0.1:{live}/"),
            StreamConfig(
                stream_type=StreamType.SOCKET,
                host="127.0.0.1",
                port=port,
                protocol="length_prefixed",
            ),
            StreamConfig(stream_type=StreamType.HTTP_MJPEG, url="http://127.1.1:80/"),
        )
        yield [
            replace(a_looped(clip), camera_id=f"cam_{uuid.uuid4()}", stream=stream)
            for stream in streams
        ]
        over.set()
        socket.shutdown()


def test_every_kind_of_camera_is_read_and_its_pictures_pass_unchanged(
    site: Site, cameras: list[Camera]
) -> None:
    for camera in cameras:
        site.register(camera)
    process = site.start("camera-n", forbidden_networks="127.1.0.0/16", stop_seconds="5")
    *readable, forbidden = (camera.camera_id for camera in cameras)
    site.until(lambda: all(site.of(FrameCaptured, camera_id) for camera_id in readable))
    site.until(
        lambda: any(
            status.error_code == "forbidden_address" for status in site.of(CameraStatus, forbidden)
        )
    )
    # A status is only told if no newer one comes before it: cameras that hang up are soon not live.
    for camera_id in readable:
        site.until(partial(told, site, camera_id, is_live_as_mjpeg))
    site.until(
        partial(told, site, readable[-1], lambda status: status.frames_dropped.get("garbage", 0))
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENT) == 0
    for camera_id in readable:
        site.until(partial(balanced, site, camera_id))
        frames: list[FrameCaptured] = site.of(FrameCaptured, camera_id)
        assert {frame.image for frame in frames} <= set(IMAGES)
    assert not site.of(FrameCaptured, forbidden)


def balanced(site: Site, camera_id: str) -> bool:
    """Whether the ledger tells of exactly what was published."""
    frames: list[FrameCaptured] = site.of(FrameCaptured, camera_id)
    entries: list[LedgerEntry] = site.of(LedgerEntry, camera_id)
    return captured(entries) == published(frames)


def is_live_as_mjpeg(status: CameraStatus) -> bool:
    return status.state is StreamState.LIVE and status.codec == "mjpeg"


def told(site: Site, camera_id: str, tells: Callable[[CameraStatus], object]) -> bool:
    """Whether the camera's status ever said so."""
    return any(tells(status) for status in site.of(CameraStatus, camera_id))
