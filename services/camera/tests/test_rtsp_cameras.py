"""Real RTSP cameras: GStreamer's server, with passwords, freezes and deaths."""

import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from services.camera.tests.network_peers import closed_port
from services.camera.tests.patience import PATIENT, comes_true, failure
from services.camera.tests.rtsp_servers import Start, rtsp_servers

from camera.adapters.checked_urls import CheckedUrls
from camera.adapters.rtsp_cameras import RtspCameras
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError, VideoFrame
from local import rtsp
from local.network import free_ports
from mesh.events import StreamConfig, StreamType, TimestampSource
from mesh.testing import a_camera

pytestmark = pytest.mark.integration
PASSWORD = "pä/ss@wörd"


@pytest.fixture
def serve(clip: Path) -> Iterator[Start]:
    """Starts RTSP servers of the clip."""
    with rtsp_servers() as start:
        yield lambda *options, port=0: start(*rtsp.command(clip, port, 1, *options))


def connect(
    url: str,
    password: str | None = None,
    transport: str = "tcp",
    seconds: float = PATIENT,
    cameras: RtspCameras | None = None,
) -> FrameSource:
    stream = StreamConfig(
        stream_type=StreamType.RTSP,
        url=url,
        transport=transport,
        username=None if password is None else "guard",
        timeout_seconds=seconds,
    )
    source = (cameras or RtspCameras())(a_camera(stream=stream), password)
    try:
        source.open()
    except SourceError:
        source.close()
        raise
    return source


def read(source: FrameSource, count: int) -> list[VideoFrame]:
    frames = [source.read() for _ in range(count)]
    return [frame for frame in frames if frame is not None]


@pytest.mark.parametrize("transport", ["tcp", "udp", "auto"])
def test_a_camera_is_read_over_every_transport(serve: Start, transport: str) -> None:
    source = connect(serve().address, transport=transport)
    frames = read(source, 5)
    times = [frame.media_time for frame in frames]
    assert times == sorted(set(times))
    assert (frames[-1].width, frames[-1].height) == (160, 96)
    assert all(frame.size > 0 for frame in frames)
    source.close()


def test_the_camera_tells_its_clock_within_seconds(serve: Start) -> None:
    source = connect(serve().address)

    def tells() -> bool:
        """A busy machine reads some pictures late, until it has caught up."""
        (frame,) = read(source, 1)
        if frame.claimed is None:
            return False
        assert frame.source is TimestampSource.RTCP
        return abs((datetime.now(UTC) - frame.claimed).total_seconds()) < 2

    assert comes_true(tells)
    source.close()


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_the_right_password_opens_and_a_wrong_one_is_unauthorized(
    serve: Start, method: str
) -> None:
    server = serve("--auth", method, "--user", "guard", "--password", PASSWORD)
    source = connect(server.address, PASSWORD)
    assert len(read(source, 2)) == 2
    source.close()
    for wrong in ("wr0ng/secret", None):
        with pytest.raises(SourceError) as caught:
            connect(server.address, wrong)
        assert caught.value.code is ErrorCode.UNAUTHORIZED
        assert "secret" not in f"{caught.value!r}{caught.value.__cause__!r}"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1", "127.0.0.1"]])
def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    serve: Start, addresses: list[str]
) -> None:
    """FFmpeg could not resolve the name; digest signs the address that is asked for."""
    server = serve("--auth", "digest", "--user", "guard", "--password", PASSWORD)
    urls = CheckedUrls(resolve=lambda *_: addresses)
    named = server.address.replace("127.0.0.1", "camera.invalid")
    source = connect(named, PASSWORD, cameras=RtspCameras(urls=urls))
    assert len(read(source, 2)) == 2
    source.close()


def test_a_reader_that_is_behind_goes_on_at_the_next_key_frame(serve: Start) -> None:
    """Every tenth frame is one, the first included, of which no time is told."""
    source = connect(serve().address)
    read(source, 23)
    source.catch_up()
    assert len(read(source, 1)) == 1
    assert 0 < source.passed_over["catching_up"] < 10
    left_out = dict(source.passed_over)
    assert len(read(source, 3)) == 3
    assert source.passed_over == left_out
    source.close()


def test_a_stream_that_does_not_exist_is_not_found(serve: Start) -> None:
    with pytest.raises(SourceError) as caught:
        connect(serve().address.replace("cam0", "cam7"))
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_a_frozen_camera_is_frozen_after_one_time_out(serve: Start) -> None:
    def freeze(seconds: float) -> None:
        server = serve()
        source = connect(server.address, seconds=seconds)
        try:
            alive = len(read(source, 3))
        except SourceError as error:
            raise SourceError(ErrorCode.TIMEOUT, "it never was alive") from error
        assert alive == 3
        os.kill(server.process.pid, signal.SIGUSR1)
        try:
            read(source, 50)
        finally:
            source.close()

    error, seconds = failure(ErrorCode.FROZEN, freeze, (2.0, 8.0, 32.0))
    assert error.code is ErrorCode.FROZEN
    assert f"{seconds:g} s" in str(error)


def test_a_killed_camera_ends_the_stream_and_a_restarted_one_is_read_again(serve: Start) -> None:
    (port,) = free_ports(1)
    server = serve(port=port)
    url = server.address
    source = connect(url)
    read(source, 3)
    server.kill()
    assert len(read(source, 50)) < 50
    source.close()
    serve(port=port)
    again = connect(url)
    assert len(read(again, 3)) == 3
    again.close()


def test_nobody_at_the_address_is_unreachable() -> None:
    with closed_port() as port, pytest.raises(SourceError) as caught:
        connect(f"rtsp://127.0.0.1:{port}/cam0")
    assert caught.value.code is ErrorCode.UNREACHABLE


def test_somebody_who_never_answers_is_a_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(SourceError, match="no answer for 2 s") as caught:
            connect(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam0", seconds=2.0)
        assert caught.value.code is ErrorCode.TIMEOUT


def test_an_attempt_that_begins_after_its_time_ends_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(SourceError) as caught:
            connect(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam0", seconds=1e-9)
        assert caught.value.code is ErrorCode.TIMEOUT
