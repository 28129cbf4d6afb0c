"""A folder of JPEG and PNG files, shown one after another."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av

from camera.adapters.jpeg_frame import JpegFrame
from camera.adapters.pyav_frame import PyAvFrame
from camera.domain.jpeg import whole_jpeg
from camera.domain.life import ErrorCode
from camera.ports import SourceError, VideoFrame
from mesh.events import TimestampSource
from mesh.logs import get_logger

_JPEG = frozenset({".jpg", ".jpeg"})
_PNG = frozenset({".png"})
_FPS = 1.0
_LARGEST_BYTES = 64 * 1024 * 1024


class FolderReel:
    """The pictures of a folder in the order of their names; JPEG files pass through unchanged.

    Files that cannot be read are passed over, logged by name, and counted as `unreadable`.

    Args:
        folder: Holds the pictures; subfolders are not looked into.
    """

    def __init__(self, folder: Path) -> None:
        self.passed_over: Counter[str] = Counter()
        self._folder = folder
        self._codec: str | None = None

    @property
    def codec(self) -> str | None:
        """Of the last picture."""
        return self._codec

    @property
    def fps(self) -> float:
        """One picture a second, as files have no rate."""
        return _FPS

    def show(self) -> Iterator[VideoFrame]:
        """Every picture that can be read; the folder is listed anew at each call.

        Raises:
            SourceError: None of them can.
        """
        files = self._files()
        if not files:
            raise SourceError(
                ErrorCode.NOT_FOUND, f"there is no JPEG or PNG file in {self._folder}"
            )
        shown = 0
        for file in files:
            frame = self._picture(file)
            if frame is not None:
                shown += 1
                yield frame
        if not shown:
            raise SourceError(
                ErrorCode.UNSUPPORTED, f"none of the pictures in {self._folder} can be read"
            )

    def close(self) -> None:
        """Nothing is held between two pictures."""

    def _files(self) -> list[Path]:
        try:
            listed = sorted(self._folder.iterdir())
        except OSError as error:
            reason = f"{self._folder} cannot be listed: {error.strerror}"
            raise SourceError(ErrorCode.NOT_FOUND, reason) from error
        return [file for file in listed if file.suffix.lower() in _JPEG | _PNG]

    def _picture(self, file: Path) -> VideoFrame | None:
        is_jpeg = file.suffix.lower() in _JPEG
        try:
            data = _bytes_of(file)
            frame = _jpeg(data) if is_jpeg else _png(data)
        except (OSError, ValueError, av.error.FFmpegError) as error:
            self.passed_over["unreadable"] += 1
            get_logger("camera.files").warning(
                "picture_unreadable", file=str(file), reason=str(error)
            )
            return None
        self._codec = "mjpeg" if is_jpeg else "png"
        return frame


def _bytes_of(file: Path) -> bytes:
    if file.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"it is larger than {_LARGEST_BYTES >> 20} MiB")
    return file.read_bytes()


def _jpeg(data: bytes) -> VideoFrame:
    whole = whole_jpeg(data)
    if whole is None:
        raise ValueError("it is no whole JPEG")
    image, width, height = whole
    return JpegFrame(image=image, width=width, height=height, media_time=0.0, size=len(data))


def _png(data: bytes) -> VideoFrame:
    pictures = av.CodecContext.create("png", "r").decode(av.Packet(data))
    if not pictures or not isinstance(pictures[0], av.VideoFrame):
        raise ValueError("it is no PNG")
    return PyAvFrame(0.0, None, TimestampSource.ARRIVAL, len(data), pictures[0])
