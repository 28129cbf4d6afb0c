"""RTSP cameras and video files, read by PyAV (FFmpeg)."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import av

from camera.adapters.pyav_decoding import NEARLY, Decoder, PyAvFrame, code_of, sentence, translated
from camera.domain.life import ErrorCode
from camera.domain.redaction import redact
from camera.ports import SourceError
from mesh.events import Camera, StreamConfig, TimestampSource

_FAST_OPEN = {"analyzeduration": "300000", "fpsprobesize": "0"}
_RTSP_PROTOCOLS = "rtp,udp,tcp,rtsp,tls,srtp"
_TRANSPORTS: Mapping[str, Mapping[str, str]] = {
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
    "auto": {"rtsp_flags": "prefer_tcp"},
}
_BEHIND_SECONDS = 1.0


class RtspSource:
    """One RTSP connection.

    Args:
        stream: How to reach the camera.
        password: In clear text; never part of a message.
    """

    def __init__(self, stream: StreamConfig, password: str | None) -> None:
        self._stream = stream
        self._password = password
        self._began: float | None = None
        """When `open` was called, while it has not returned."""
        self._container: Any = None
        self._frames: Iterator[PyAvFrame] = iter(())
        self._codec: str | None = None

    @property
    def transport(self) -> str | None:
        """What was asked for; FFmpeg does not say what it chose."""
        asked = self._stream.transport or "auto"
        return None if asked == "auto" else asked

    @property
    def codec(self) -> str | None:
        """Of the pictures."""
        return self._codec

    def open(self) -> None:
        """Connects and learns what the stream holds."""
        timeout = self._stream.timeout_seconds
        transport = _TRANSPORTS[self._stream.transport or "auto"]
        options = {**_FAST_OPEN, **transport, "protocol_whitelist": _RTSP_PROTOCOLS}
        self._began = time.monotonic()
        with translated(self._failed):
            self._container = av.open(
                self._url(), format="rtsp", options=options, timeout=(timeout, timeout)
            )
        self._began = None
        decoder = Decoder.of(self._container, timeout)
        self._codec, self._frames = decoder.codec, decoder.frames()

    def read(self) -> PyAvFrame | None:
        """The next picture; a camera that hangs up ends the stream without an error of FFmpeg's."""
        try:
            with translated(self._failed):
                return next(self._frames, None)
        except SourceError as error:
            if error.code is ErrorCode.TIMEOUT:
                seconds = self._stream.timeout_seconds
                raise SourceError(ErrorCode.FROZEN, f"no picture for {seconds:g} s") from error
            if error.code is ErrorCode.UNSUPPORTED:
                raise SourceError(ErrorCode.UNREACHABLE, str(error)) from error
            raise

    def interrupt(self) -> None:
        """Cannot hurry FFmpeg: a blocked read returns at the time-out at the latest."""

    def close(self) -> None:
        """Ends the connection."""
        if self._container is not None:
            self._container.close()

    def _url(self) -> str:
        parts = urlsplit(self._stream.url or "")
        if self._stream.username is None:
            return urlunsplit(parts)
        user = quote(self._stream.username, safe="")
        secret = "" if self._password is None else ":" + quote(self._password, safe="")
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{user}{secret}@{place}"))

    def _failed(self, error: av.error.FFmpegError) -> SourceError:
        code = code_of(error, otherwise=ErrorCode.UNREACHABLE)
        seconds = self._stream.timeout_seconds
        waited = 0.0 if self._began is None else time.monotonic() - self._began
        if code is ErrorCode.TIMEOUT or waited > NEARLY * seconds:
            return SourceError(ErrorCode.TIMEOUT, f"no answer for {seconds:g} s")
        return SourceError(code, redact(sentence(error), self._password))


class FileSource:
    """A video file as a camera: paced, and from the start again at its end unless told otherwise.

    Args:
        stream: Path, pace and whether to loop.
        sleep: Waits for so many seconds or until the event is set.
    """

    def __init__(
        self,
        stream: StreamConfig,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._sleep = sleep
        self._interrupted = threading.Event()
        self._path = Path((stream.url or "").removeprefix("file://"))
        self._container: Any = None
        self._frames: Iterator[PyAvFrame] = iter(())
        self._codec: str | None = None
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
        return self._codec

    def open(self) -> None:
        """Opens the file and checks that it holds video."""
        if not self._path.is_file():
            raise SourceError(ErrorCode.NOT_FOUND, f"there is no file {self._path}")
        decoder = self._rewind()
        self._interval = 1.0 / (self._stream.fps or decoder.fps)
        self._due = self._monotonic()

    def read(self) -> PyAvFrame | None:
        """The next picture when it is due; `None` at the end of a file that is shown once."""
        self._pace()
        if self._interrupted.is_set():
            return None
        frame = self._next()
        if frame is None and self._stream.loop:
            self._rewind()
            frame = self._next()
        if frame is None:
            return None
        media_time = self._shown * self._interval
        self._shown += 1
        return replace(frame, media_time=media_time, claimed=None, source=TimestampSource.ARRIVAL)

    def interrupt(self) -> None:
        """Ends the wait for the next picture."""
        self._interrupted.set()

    def close(self) -> None:
        """Closes the file."""
        if self._container is not None:
            self._container.close()

    def _next(self) -> PyAvFrame | None:
        with translated(self._failed):
            return next(self._frames, None)

    def _pace(self) -> None:
        """Waits for the next picture's turn; a turn that was missed by far is not made up for."""
        ahead = self._due - self._monotonic()
        if ahead > 0:
            self._sleep(self._interrupted, ahead)
        elif ahead < -_BEHIND_SECONDS:
            self._due = self._monotonic()
        self._due += self._interval

    def _rewind(self) -> Decoder:
        self.close()
        with translated(self._failed):
            self._container = av.open(f"file:{self._path}", options={"protocol_whitelist": "file"})
        decoder = Decoder.of(self._container, self._stream.timeout_seconds)
        self._codec, self._frames = decoder.codec, decoder.frames()
        return decoder

    def _failed(self, error: av.error.FFmpegError) -> SourceError:
        code = code_of(error, otherwise=ErrorCode.UNSUPPORTED)
        return SourceError(code, f"{self._path.name} cannot be read: {sentence(error)}")


def rtsp_source(camera: Camera, password: str | None) -> RtspSource:
    """A source for an RTSP camera.

    Raises:
        SourceError: Its transport is none of ours.
    """
    stream = camera.stream
    if (stream.transport or "auto") not in _TRANSPORTS:
        known = ", ".join(_TRANSPORTS)
        raise SourceError(ErrorCode.UNSUPPORTED, f"transport {stream.transport} is none of {known}")
    return RtspSource(stream, password)


def file_source(camera: Camera, password: str | None) -> FileSource:
    """A source for a file."""
    del password  # there is nothing to sign in to
    return FileSource(camera.stream)
