import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from local import rtsp

Serve = Callable[..., tuple["subprocess.Popen[str]", str]]


def test_a_machine_without_a_system_python_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rtsp, "SYSTEM_PYTHON", "/nonexistent/python3")
    assert not rtsp.available()
    assert "/nonexistent/python3" in (rtsp.missing() or "")


def test_a_python_without_gstreamer_is_told_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "_PROBE", "import no_such_module_anywhere")
    reason = rtsp.missing() or ""
    assert "no_such_module_anywhere" in reason
    assert "gir1.2-gst-rtsp-server-1.0" in reason


def test_a_stream_begins_at_the_last_keyframe_before_its_place() -> None:
    clip = rtsp.Clip("h264", 12.0, [b""] * 30, [0, 12, 24])
    assert [clip.entry(at) for at in (0, 11, 12, 23, 29)] == [0, 0, 12, 12, 24]


def test_a_clip_that_begins_without_a_keyframe_is_entered_at_its_first() -> None:
    assert rtsp.Clip("h264", 12.0, [b""] * 30, [5]).entry(2) == 5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rtsp") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.gop_size = 10
        stream.codec_context.max_b_frames = 0
        stream.codec_context.time_base = Fraction(1, 10)
        for index in range(30):
            pixels = np.full((96, 160, 3), index * 8, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def serve(clip: Path) -> Iterator[Serve]:
    reason = rtsp.missing()
    if reason:
        pytest.skip(reason)
    running: list[subprocess.Popen[str]] = []

    def start(
        *options: str, cameras: int = 1, video: Path = clip
    ) -> tuple["subprocess.Popen[str]", str]:
        process = subprocess.Popen(
            rtsp.command(video, 0, cameras, *options), stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready rtsp://127.0.0.1:")
        return process, line.split("127.0.0.1:")[1].split("/")[0]

    yield start
    for process in running:
        process.terminate()
        process.wait(60)
        if process.stdout:
            process.stdout.close()


def frames(
    url: str, count: int, transport: str = "tcp", *, within: float = 60
) -> list[av.VideoFrame]:
    options = {"rtsp_transport": transport, "analyzeduration": "300000", "fpsprobesize": "0"}
    found = []
    with av.open(url, options=options, timeout=within) as container:
        for frame in container.decode(video=0):
            found.append(frame)
            if len(found) == count:
                break
    return found


def frames_of_next_try(url: str, count: int) -> list[av.VideoFrame]:
    """Like a camera's client, tries anew."""
    deadline = time.monotonic() + 40
    while True:
        try:
            return frames(url, count, within=10)
        except av.error.FFmpegError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.mark.integration
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_camera_shows_moving_pictures(serve: Serve, transport: str) -> None:
    _, port = serve(cameras=2)
    for number in (0, 1):
        shown = frames(f"rtsp://127.0.0.1:{port}/cam{number}", 5, transport)
        stamps = [frame.pts or 0 for frame in shown]
        assert stamps == sorted(set(stamps))


@pytest.mark.integration
@pytest.mark.parametrize("method", ["basic", "digest"])
def test_only_the_right_password_opens_a_protected_camera(serve: Serve, method: str) -> None:
    _, port = serve("--auth", method, "--user", "guard", "--password", "right")
    assert frames(f"rtsp://guard:right@127.0.0.1:{port}/cam0", 2)
    with pytest.raises(av.error.HTTPUnauthorizedError):
        frames(f"rtsp://guard:wrong@127.0.0.1:{port}/cam0", 1)


@pytest.mark.integration
def test_a_frozen_camera_keeps_the_connection_but_sends_nothing(serve: Serve) -> None:
    process, port = serve()
    os.kill(process.pid, signal.SIGUSR1)
    assert process.stdout is not None
    assert process.stdout.readline() == "frozen\n"
    with pytest.raises(av.error.FFmpegError):
        frames(f"rtsp://127.0.0.1:{port}/cam0", 1, within=3)
    os.kill(process.pid, signal.SIGUSR1)
    assert process.stdout.readline() == "thawed\n"
    assert frames_of_next_try(f"rtsp://127.0.0.1:{port}/cam0", 2)


@pytest.mark.integration
def test_a_taken_port_is_named(serve: Serve, clip: Path) -> None:
    _, port = serve()
    second = subprocess.run(
        rtsp.command(clip, int(port)), capture_output=True, text=True, timeout=120, check=False
    )
    assert second.returncode == 3
    assert f"port {port} is taken" in second.stdout


@pytest.mark.integration
def test_a_file_without_video_is_refused(serve: Serve, tmp_path: Path) -> None:
    serve()
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"this is no video")
    refused = subprocess.run(
        rtsp.command(noise, 0), capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode == 2
    assert "no H.264 or H.265 video" in refused.stdout


@pytest.mark.integration
def test_pictures_of_several_slices_arrive_whole(serve: Serve, tmp_path: Path) -> None:
    """Parameter sets before every slice of a key frame would make two pictures of it."""
    blocks = np.random.default_rng(0).integers(16, 240, (12, 20), np.uint8)
    scene = np.repeat(np.kron(blocks, np.ones((16, 16), np.uint8))[..., None], 3, axis=2)
    video = tmp_path / "slices.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"slices": "4"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        stream.codec_context.gop_size = 5
        stream.codec_context.max_b_frames = 0
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene, format="rgb24")))
        container.mux(stream.encode(None))

    _, port = serve(video=video)
    where = f"rtsp://127.0.0.1:{port}/cam0"
    with av.open(where, options={"rtsp_transport": "tcp"}, timeout=60) as camera:
        pictures = islice(camera.decode(video=0), 12)
        shown = [picture.to_ndarray(format="rgb24") for picture in pictures]
    for picture in shown:
        assert np.abs(picture.astype(int) - scene).mean() < 5
