"""A farm of RTSP cameras: clips that are made here, served by GStreamer in a process of its own."""

import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from local import rtsp
from local.network import free_ports
from mesh.errors import ConfigurationError

WIDTH, HEIGHT = 640, 360
_SECONDS = 8
_GOP_SECONDS = 2
_BITS_PER_FRAME = 40_000
"""0.6 Mbit/s at 15 frames a second: a small stream of a common camera."""
_NOISE = 3.0
_ANSWER_SECONDS = 120.0

Pixels = NDArray[np.uint8]


def make_clip(path: Path, fps: int, *, moving: bool = True) -> None:
    """Writes H.264 of a still scene with noise in which a few things move.

    Args:
        path: where to.
        fps: its frames per second.
        moving: whether they do; else they stand, and only the sensor's noise differs.
    """
    scene, things = _scene(), np.random.default_rng(1)
    speed = things.uniform(-90, 90, (6, 2)) * moving
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=fps)
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        track.bit_rate = _BITS_PER_FRAME * fps
        track.gop_size = _GOP_SECONDS * fps
        track.max_b_frames = 0
        track.options = {"preset": "veryfast", "profile": "main"}
        for index in range(_SECONDS * fps):
            pixels = _frame(scene, speed * index / fps, things)
            container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(track.encode(None))


def _scene() -> Pixels:
    """Edges, slopes and texture of a room: coarse noise, enlarged, over finer noise."""
    random = np.random.default_rng(0)
    layers = [
        np.kron(random.uniform(0, depth, (HEIGHT // size, WIDTH // size, 3)), _square(size))
        for size, depth in ((40, 120.0), (8, 50.0), (2, 25.0))
    ]
    return sum(layers, np.zeros((HEIGHT, WIDTH, 3))).astype(np.uint8)


def _square(size: int) -> NDArray[np.float64]:
    return np.ones((size, size, 1))


def _frame(scene: Pixels, moved: NDArray[np.float64], random: np.random.Generator) -> Pixels:
    """The scene with things the size of people at their places, and the noise of a sensor."""
    picture = scene.astype(np.float32)
    for number, (x, y) in enumerate(moved):
        left = int(x + 100 * number) % (WIDTH - 60)
        top = int(y + 50 * number) % (HEIGHT - 120)
        thing = scene[top // 2 : top // 2 + 120, left // 2 : left // 2 + 60]
        picture[top : top + 120, left : left + 60] = 255.0 - thing
    picture += random.normal(0, _NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return picture.clip(0, 255).astype(np.uint8)


class Farm:
    """Many cameras on one port; a context manager, whose server may be killed and started again.

    Args:
        clip: What all of them show, each from another place on.
        cameras: How many.

    Raises:
        ConfigurationError: This machine has no GStreamer that can serve them.
    """

    def __init__(self, clip: Path, cameras: int) -> None:
        reason = rtsp.missing()
        if reason:
            raise ConfigurationError(reason)
        [self.port] = free_ports(1)
        self._command = rtsp.command(clip, self.port, cameras)
        self.urls: Sequence[str] = [
            f"rtsp://127.0.0.1:{self.port}/cam{number}" for number in range(cameras)
        ]

    def __enter__(self) -> Self:
        """Starts it; see `start`."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""
        self.kill()

    def start(self) -> None:
        """Starts the server and waits until it serves.

        Raises:
            ConfigurationError: It does not.
        """
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()
        line = self._answer()
        if not line.startswith("ready"):
            self.kill()
            raise ConfigurationError(f"the farm of cameras did not start: {line or 'no answer'}")

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def kill(self) -> None:
        """Ends the server at once, and with it every connection."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def most_opening(self) -> int:
        """How many clients at once were connected and not shown anything, since last asked."""
        self._process.send_signal(signal.SIGUSR2)
        word, _, number = self._answer().partition(" ")
        return int(number) if word == "opening" else 0

    def _read(self, lines: Any) -> None:
        with lines:
            for line in lines:
                self._lines.put(line.strip())

    def _answer(self) -> str:
        try:
            return self._lines.get(timeout=_ANSWER_SECONDS)
        except Empty:
            return ""
