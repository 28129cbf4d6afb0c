"""MJPEG over HTTP from servers that others wrote: FFmpeg's and motion's."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services.camera.tests.network_peers import a_network, a_stream, check_clip, opened, read
from services.camera.tests.patience import PATIENT

from camera.adapters.bridged_source import BridgedSource
from camera.adapters.network import Network
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from local.network import free_ports
from mesh.events import StreamConfig, StreamType

pytestmark = pytest.mark.integration
PASSWORD = "hunter2"
SETTINGS = """
daemon off
log_level 4
target_dir {folder}
netcam_url file://{clip}
width 160
height 96
framerate 10
stream_port {port}
stream_localhost on
stream_maxrate 10
stream_auth_method {method}
stream_authentication guard:{password}
webcontrol_port 0
picture_output off
movie_output off
"""
"""A motion that keeps nothing and serves the clip, again and again, as a camera's pictures."""
METHODS = {"basic": 1, "digest": 2}
Start = Callable[[list[str]], None]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = a_network()
    yield made
    made.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts programs that end with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def run(command: list[str]) -> None:
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    yield run
    for process in running:
        process.kill()
        process.wait(PATIENT)


def needed(program: str) -> str:
    """The program; skips where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"there is no {program} (Debian: {program}); `make test` installs it as root")
    return found


def when_there(network: Network, stream: StreamConfig, password: str | None) -> BridgedSource:
    """The camera, as soon as its server has started."""
    deadline = time.monotonic() + PATIENT
    while True:
        try:
            return opened(network, stream, password)
        except SourceError as error:
            if error.code is not ErrorCode.UNREACHABLE or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_what_ffmpeg_serves_is_read_until_it_hangs_up(
    network: Network, clip: Path, start: Start
) -> None:
    address = f"http://127.0.0.1:{free_ports(1)[0]}/"
    program = needed("ffmpeg")
    start([program, "-v", "error", "-i", str(clip), "-f", "mpjpeg", "-listen", "1", address])
    check_clip(when_there(network, a_stream(StreamType.HTTP_MJPEG, address), None))


@pytest.mark.parametrize("method", METHODS)
def test_what_motion_serves_is_read_with_the_right_password(
    network: Network, clip: Path, tmp_path: Path, start: Start, method: str
) -> None:
    program, port, settings = needed("motion"), free_ports(1)[0], tmp_path / "motion.conf"
    settings.write_text(
        SETTINGS.format(
            folder=tmp_path, clip=clip, port=port, method=METHODS[method], password=PASSWORD
        )
    )
    start([program, "-n", "-c", str(settings), "-l", str(tmp_path / "motion.log")])
    address = f"http://127.0.0.1:{port}/"
    stream = a_stream(StreamType.HTTP_MJPEG, address, username="guard")
    source = when_there(network, stream, PASSWORD)
    frames = read(source, 5)
    assert [(frame.width, frame.height) for frame in frames] == [(160, 96)] * 5
    assert all(frame.jpeg() for frame in frames)
    assert not source.passed_over
    source.close()
    if method == "digest":  # motion lets whoever was wrong wait, so once must do
        with pytest.raises(SourceError) as caught:
            opened(network, stream, "wrong-secret")
        assert caught.value.code is ErrorCode.UNAUTHORIZED
        assert "wrong-secret" not in str(caught.value)
