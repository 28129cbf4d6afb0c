"""RTSP cameras and video files, read by PyAV (FFmpeg)."""

import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

import av
import simplejpeg

from camera.domain.life import ErrorCode
from camera.domain.redaction import redact
from camera.ports import FrameSource, SourceError
from mesh.errors import ConfigurationError
from mesh.events import Camera, StreamConfig, StreamType, TimestampSource

MAX_IMAGE_BYTES = 1024 * 1024
"""A picture travels inside its record up to this size (design, section 2)."""
_QUALITIES = (85, 75, 60, 40)
_FAST_OPEN = {"analyzeduration": "300000", "fpsprobesize": "0"}
_RTSP_PROTOCOLS = "rtp,rtcp,udp,tcp,rtsp,rtsps,tls,srtp,crypto,http"
_TRANSPORTS: Mapping[str, Mapping[str, str]] = {
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
    "auto": {"rtsp_flags": "prefer_tcp"},
}
_CODES: Mapping[type[av.error.FFmpegError], ErrorCode] = {
    av.error.HTTPUnauthorizedError: ErrorCode.UNAUTHORIZED,
    av.error.HTTPForbiddenError: ErrorCode.UNAUTHORIZED,
    av.error.HTTPNotFoundError: ErrorCode.NOT_FOUND,
    av.error.FileNotFoundError: ErrorCode.NOT_FOUND,
    av.error.InvalidDataError: ErrorCode.UNSUPPORTED,
    av.error.LookupError: ErrorCode.UNSUPPORTED,
    av.error.ExitError: ErrorCode.TIMEOUT,
    av.error.TimeoutError: ErrorCode.TIMEOUT,
}
_PRODUCER_REFERENCE_TIME = struct.Struct("<qi")
_BEHIND_SECONDS = 1.0
_NEARLY = 0.95
"""What took this share of the time-out ended because of it, whatever FFmpeg calls it."""
_FAR_FUTURE = 1e11
_DEFAULT_FPS = 25.0


@dataclass(frozen=True, slots=True)
class PyAvFrame:
    """A decoded picture of a PyAV stream."""

    media_time: float
    claimed: datetime | None
    source: TimestampSource
    size: int
    _frame: av.VideoFrame

    @property
    def width(self) -> int:
        """Pixels."""
        return self._frame.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self._frame.height

    def jpeg(self) -> bytes | None:
        """The picture as JPEG of at most 1 MiB, coarser if it has to be."""
        pixels = self._frame.to_ndarray(format="rgb24")
        for quality in _QUALITIES:
            image: bytes = simplejpeg.encode_jpeg(
                pixels, quality=quality, colorspace="RGB", colorsubsampling="420"
            )
            if len(image) <= MAX_IMAGE_BYTES:
                return image
        return None


@dataclass(slots=True)
class _Decoder:
    """Packets of the first video track, decoded; knows the camera's clock once it is told."""

    container: Any
    timeout: float
    _track: Any = None
    _received: int = 0
    _last: float = field(default_factory=time.monotonic)
    _clock_offset: float | None = None
    """Seconds between the stream's time and the camera's wall clock."""

    @classmethod
    def of(cls, container: Any, timeout: float) -> Self:
        """A decoder for the container.

        Raises:
            SourceError: There is no video in it, or nobody here can decode it.
        """
        if not container.streams.video:
            raise SourceError(ErrorCode.UNSUPPORTED, "there is no video in the stream")
        track = container.streams.video[0]
        if track.codec_context is None:
            raise SourceError(ErrorCode.UNSUPPORTED, "the stream's codec is unknown")
        track.codec_context.thread_count = 1
        return cls(container, timeout, track)

    @property
    def fps(self) -> float:
        """The rate that the container names."""
        rate = self._track.average_rate
        return float(rate) if rate else _DEFAULT_FPS

    def frames(self) -> Iterator[PyAvFrame]:
        """Pictures until the stream ends; packets that are broken are passed over.

        Raises:
            SourceError: Nothing could be decoded for a whole time-out.
        """
        for packet in self._packets():
            self._received += packet.size
            self._note_clock(packet)
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                pictures = []
            for picture in pictures:
                yield self._framed(picture)
                self._last = time.monotonic()
            if time.monotonic() - self._last > self.timeout:
                raise SourceError(
                    ErrorCode.FROZEN, f"no picture could be decoded for {self.timeout:g} s"
                )

    def _packets(self) -> Iterator[Any]:
        """Packets until the stream ends.

        FFmpeg answers its own read time-out by handing out the frame that its parser holds back,
        and would then wait a second time.
        """
        packets = self.container.demux(self._track)
        while True:
            asked = time.monotonic()
            packet = next(packets, None)
            if time.monotonic() - asked > _NEARLY * self.timeout:
                raise SourceError(ErrorCode.FROZEN, f"no picture for {self.timeout:g} s")
            if packet is None:
                return
            yield packet

    def _framed(self, picture: Any) -> PyAvFrame:
        size, self._received = self._received, 0
        known = picture.time is not None
        media_time = float(picture.time) if known else time.monotonic()
        claimed = None
        if known and self._clock_offset is not None:
            claimed = _instant(media_time + self._clock_offset)
        return PyAvFrame(media_time, claimed, TimestampSource.RTCP, size, picture)

    def _note_clock(self, packet: Any) -> None:
        """Learns the camera's clock from RTCP sender reports, which come within seconds."""
        if packet.pts is None or not packet.has_sidedata("prft"):
            return
        micros, _ = _PRODUCER_REFERENCE_TIME.unpack_from(bytes(packet.get_sidedata("prft")))
        self._clock_offset = micros / 1e6 - float(packet.pts * packet.time_base)


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

    def open(self) -> None:
        """Connects and learns what the stream holds."""
        timeout = self._stream.timeout_seconds
        transport = _TRANSPORTS[self._stream.transport or "auto"]
        options = {**_FAST_OPEN, **transport, "protocol_whitelist": _RTSP_PROTOCOLS}
        self._began = time.monotonic()
        with _translated(self._failed):
            self._container = av.open(
                self._url(), format="rtsp", options=options, timeout=(timeout, timeout)
            )
        self._began = None
        self._frames = _Decoder.of(self._container, timeout).frames()

    def read(self) -> PyAvFrame | None:
        """The next picture; a camera that hangs up ends the stream without an error of FFmpeg's."""
        try:
            with _translated(self._failed):
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
        code = _code_of(error, otherwise=ErrorCode.UNREACHABLE)
        seconds = self._stream.timeout_seconds
        waited = 0.0 if self._began is None else time.monotonic() - self._began
        if code is ErrorCode.TIMEOUT or waited > _NEARLY * seconds:
            return SourceError(ErrorCode.TIMEOUT, f"no answer for {seconds:g} s")
        return SourceError(code, redact(_sentence(error), self._password))


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
        self._interval = 1.0
        self._shown = 0
        self._due = 0.0

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
        with _translated(self._failed):
            return next(self._frames, None)

    def _pace(self) -> None:
        """Waits for the next picture's turn; a turn that was missed by far is not made up for."""
        ahead = self._due - self._monotonic()
        if ahead > 0:
            self._sleep(self._interrupted, ahead)
        elif ahead < -_BEHIND_SECONDS:
            self._due = self._monotonic()
        self._due += self._interval

    def _rewind(self) -> _Decoder:
        self.close()
        with _translated(self._failed):
            self._container = av.open(f"file:{self._path}", options={"protocol_whitelist": "file"})
        decoder = _Decoder.of(self._container, self._stream.timeout_seconds)
        self._frames = decoder.frames()
        return decoder

    def _failed(self, error: av.error.FFmpegError) -> SourceError:
        code = _code_of(error, otherwise=ErrorCode.UNSUPPORTED)
        return SourceError(code, f"{self._path.name} cannot be read: {_sentence(error)}")


class PyAvSources:
    """Makes a source for the kinds of stream that PyAV reads here.

    Args:
        decrypt: Opens an encrypted password; raises `ConfigurationError` if it cannot.
    """

    def __init__(self, decrypt: Callable[[bytes], bytes]) -> None:
        self._decrypt = decrypt

    def __call__(self, camera: Camera) -> FrameSource:
        """A source that is not connected yet.

        Raises:
            SourceError: Streams of this kind, or with these settings, cannot be read.
        """
        stream = camera.stream
        if not stream.url:
            raise SourceError(ErrorCode.UNSUPPORTED, f"a {stream.stream_type} stream needs a url")
        if stream.stream_type is StreamType.FILE:
            return FileSource(stream)
        if stream.stream_type is not StreamType.RTSP:
            kinds = f"{StreamType.RTSP} and {StreamType.FILE}"
            raise SourceError(
                ErrorCode.UNSUPPORTED, f"{stream.stream_type} cannot be read yet, only {kinds}"
            )
        if urlsplit(stream.url).scheme not in {"rtsp", "rtsps"}:
            raise SourceError(ErrorCode.UNSUPPORTED, "the url of an RTSP stream begins with rtsp")
        if (stream.transport or "auto") not in _TRANSPORTS:
            known = ", ".join(_TRANSPORTS)
            raise SourceError(
                ErrorCode.UNSUPPORTED, f"transport {stream.transport} is none of {known}"
            )
        return RtspSource(stream, self._password(stream))

    def _password(self, stream: StreamConfig) -> str | None:
        if stream.password_encrypted is None:
            return None
        try:
            return self._decrypt(stream.password_encrypted).decode()
        except (ConfigurationError, UnicodeDecodeError) as error:
            raise SourceError(
                ErrorCode.UNAUTHORIZED, f"the stored password cannot be opened: {error}"
            ) from error


@contextmanager
def _translated(failed: Callable[[av.error.FFmpegError], SourceError]) -> Iterator[None]:
    """Raises FFmpeg's errors as ours."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise failed(error) from None  # the original names the address with its password


def _code_of(error: av.error.FFmpegError, otherwise: ErrorCode) -> ErrorCode:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), otherwise)


def _sentence(error: av.error.FFmpegError) -> str:
    return error.strerror or type(error).__name__


def _instant(seconds: float) -> datetime | None:
    """A moment of the wall clock, if it is one."""
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _FAR_FUTURE else None
