"""Video files and folders of pictures as cameras."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import av

from camera.adapters.picture_folder import FolderReel
from camera.adapters.pyav_decoding import Decoder
from camera.adapters.pyav_errors import code_of, sentence, translated
from camera.adapters.pyav_hardware import Hardware
from camera.adapters.restamped import Restamped
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError, VideoFrame
from mesh.events import Camera, StreamConfig

REALTIME, FAST = "realtime", "fast"
_BEHIND_SECONDS = 1.0


class Reel(Protocol):
    """Pictures that can be shown again and again."""

    passed_over: Counter[str]
    """What could not be shown since it was made, by reason."""

    @property
    def codec(self) -> str | None:
        """Of the pictures, once they are shown."""

    @property
    def fps(self) -> float:
        """Their own rate, once they are shown."""

    def show(self) -> Iterator[VideoFrame]:
        """The pictures from the first to the last; a new call begins anew.

        Raises:
            SourceError: They cannot be read.
        """

    def close(self) -> None:
        """Lets go of them; repeatable."""


class VideoReel:
    """The pictures of a video file.

    Args:
        path: The file; what it refers to elsewhere is not opened.
        timeout: Nothing decoded for so many seconds is an error.
        hardware: Opens the hardware that decodes.
        wanted: Which, if any.
    """

    def __init__(
        self, path: Path, timeout: float, hardware: Hardware, wanted: str | None = None
    ) -> None:
        self.passed_over: Counter[str] = Counter()
        self._path = path
        self._timeout = timeout
        self._hardware = hardware
        self._wanted = wanted
        self._container: Any = None
        self._decoder: Decoder | None = None

    @property
    def codec(self) -> str | None:
        """Of the pictures."""
        return None if self._decoder is None else self._decoder.codec

    @property
    def fps(self) -> float:
        """The rate that the file names."""
        return 1.0 if self._decoder is None else self._decoder.fps

    def show(self) -> Iterator[VideoFrame]:
        """The pictures from the first to the last."""
        self.close()
        self._hardware.check(self._wanted)
        with translated(self._failed):
            self._container = av.open(
                f"file:{self._path}",
                options={"protocol_whitelist": "file"},
                hwaccel=self._hardware.acceleration(self._wanted),
            )
        self._decoder = Decoder.of(self._container, self._timeout, self.passed_over)
        return self._pictures(self._decoder)

    def close(self) -> None:
        """Closes the file."""
        if self._container is not None:
            self._container.close()

    def _pictures(self, decoder: Decoder) -> Iterator[VideoFrame]:
        with translated(self._failed):
            yield from decoder.frames()

    def _failed(self, error: av.error.FFmpegError) -> SourceError:
        code = code_of(error, otherwise=ErrorCode.UNSUPPORTED)
        return SourceError(code, f"{self._path.name} cannot be read: {sentence(error)}")


class FileSource:
    """A file or folder as a camera: paced unless told otherwise, and from the start at its end.

    Args:
        stream: Rate, pace and whether to loop.
        reel: The pictures.
        monotonic: Tells the time, seconds.
        sleep: Waits for so many seconds or until the event is set.
    """

    def __init__(
        self,
        stream: StreamConfig,
        reel: Reel,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._stream = stream
        self._reel = reel
        self._monotonic = monotonic
        self._sleep = sleep
        self._interrupted = threading.Event()
        self._frames: Iterator[VideoFrame] = iter(())
        self._interval = 1.0
        self._shown = 0
        self._due = 0.0

    @property
    def transport(self) -> str | None:
        """From the disk."""
        return "file"

    @property
    def codec(self) -> str | None:
        """Of the pictures."""
        return self._reel.codec

    @property
    def passed_over(self) -> Mapping[str, int]:
        """What cannot be shown."""
        return self._reel.passed_over

    @property
    def own_seconds(self) -> float:
        """It has no thread of its own."""
        return 0.0

    def open(self) -> None:
        """Opens the file and checks that it holds video, or looks whether the folder is there."""
        self._frames = self._reel.show()
        self._interval = 1.0 / (self._stream.fps or self._reel.fps)
        self._due = self._monotonic()

    def read(self) -> VideoFrame | None:
        """The next picture when it is due; `None` at the end of a file that is shown once."""
        if self._stream.pace != FAST:
            self._pace()
        if self._interrupted.is_set():
            return None
        frame = next(self._frames, None)
        if frame is None and self._stream.loop:
            self._frames = self._reel.show()
            frame = next(self._frames, None)
        if frame is None:
            return None
        media_time = self._shown * self._interval
        self._shown += 1
        return Restamped(frame, media_time)

    def wants(self, fps: float) -> None:
        """Every picture is decoded, so that a file is sampled alike each time."""

    def catch_up(self) -> None:
        """A file is never behind."""

    def interrupt(self) -> None:
        """Ends the wait for the next picture."""
        self._interrupted.set()

    def close(self) -> None:
        """Closes the file."""
        self._reel.close()

    def _pace(self) -> None:
        """Waits for the next picture's turn; a turn that was missed by far is not made up for."""
        ahead = self._due - self._monotonic()
        if ahead > 0:
            self._sleep(self._interrupted, ahead)
        elif ahead < -_BEHIND_SECONDS:
            self._due = self._monotonic()
        self._due += self._interval


@dataclass(frozen=True, slots=True)
class FileCameras:
    """Makes the sources of files and folders.

    Args:
        hardware: Opens the hardware that decodes.
    """

    hardware: Hardware = field(default_factory=Hardware)

    def __call__(self, camera: Camera, password: str | None = None) -> FrameSource:
        """A source that is not opened yet.

        Raises:
            SourceError: There is no such file, or the settings are none that it can have.
        """
        del password
        stream = camera.stream
        if not stream.url:
            raise SourceError(ErrorCode.UNSUPPORTED, "a FILE stream needs a url, which is a path")
        if stream.pace not in {None, REALTIME, FAST}:
            raise SourceError(
                ErrorCode.UNSUPPORTED, f"pace {stream.pace} is none of {REALTIME}, {FAST}"
            )
        return FileSource(stream, self.reel(stream))

    def reel(self, stream: StreamConfig) -> Reel:
        """The pictures of a file or folder.

        Raises:
            SourceError: There is no such file.
        """
        path = Path((stream.url or "").removeprefix("file://"))
        if path.is_dir():
            return FolderReel(path)
        if not path.is_file():
            raise SourceError(ErrorCode.NOT_FOUND, f"there is no file {path}")
        return VideoReel(path, stream.timeout_seconds, self.hardware, stream.hardware)
