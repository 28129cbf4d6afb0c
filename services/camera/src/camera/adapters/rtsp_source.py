"""A connection to an RTSP camera, read by PyAV (FFmpeg)."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import av

from camera.adapters.checked_urls import CheckedUrls
from camera.adapters.pyav_decoding import NEARLY, Decoder
from camera.adapters.pyav_errors import code_of, sentence, translated
from camera.adapters.pyav_hardware import Hardware
from camera.adapters.rtsp_transports import Transports
from camera.adapters.rtsp_trust import Trust
from camera.domain.capture import NOT_WANTED
from camera.domain.life import ErrorCode
from camera.domain.redaction import redact
from camera.ports import SourceError, VideoFrame
from mesh.credentials import filled
from mesh.events import StreamConfig

_PROTOCOLS = "rtp,udp,tcp,rtsp,tls,srtp"
_FAST_OPEN = {"analyzeduration": "300000", "fpsprobesize": "0"}
_VIDEO_ONLY = {"allowed_media_types": "video"}
"""Sound that goes on would hide from PyAV's time-out that the pictures do not."""
TRANSPORTS: Mapping[str, Mapping[str, str]] = {
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp", "buffer_size": "1048576"},
}
AUTO = "auto"
_UDP_SHARE, _UDP_SECONDS = 0.4, 4.0
"""What UDP may take of the time-out until its first picture, before TCP is tried."""
_FINAL = frozenset({ErrorCode.UNAUTHORIZED, ErrorCode.NOT_FOUND, ErrorCode.UNTRUSTED})
"""What the camera answers whatever the transport."""
_NOBODY = frozenset({ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT})
"""Perhaps somebody answers at another address of the host."""
_PAUSES = (0.1, 0.3, 0.9)
"""Seconds before a camera that cannot serve now is asked again."""


class RtspSource:
    """One RTSP connection.

    With `transport: auto` UDP is tried first and TCP when UDP is refused or brings nothing.

    Args:
        stream: How to reach the camera.
        password: In clear text; never part of a message.
        transports: What worked before.
        hardware: Opens the hardware that decodes, if any is wanted.
        urls: Tells the addresses that may be connected to.
        trust: Has certificates checked.
    """

    def __init__(
        self,
        stream: StreamConfig,
        password: str | None,
        *,
        transports: Transports | None = None,
        hardware: Hardware | None = None,
        urls: CheckedUrls | None = None,
        trust: Trust | None = None,
    ) -> None:
        self._stream = stream
        self._password = password
        self._transports = transports or Transports()
        self._hardware = hardware or Hardware()
        self._urls = urls or CheckedUrls()
        self._trust = trust or Trust()
        self._transport: str | None = None
        self._began: float | None = None
        """When the present attempt began, while it goes on."""
        self._patience = stream.timeout_seconds
        """Of the present attempt, seconds."""
        self._container: Any = None
        self._decoder: Decoder | None = None
        self._frames: Iterator[VideoFrame] = iter(())

    @property
    def transport(self) -> str | None:
        """`tcp` or `udp`, once connected."""
        return self._transport

    @property
    def codec(self) -> str | None:
        """Of the pictures."""
        return None if self._decoder is None else self._decoder.codec

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Pictures that were not decoded, to catch up, or that were not whole."""
        if self._decoder is None:
            return {}
        left_out = {"catching_up": self._decoder.left_out, NOT_WANTED: self._decoder.spared}
        return {**self._decoder.passed_over, **{why: n for why, n in left_out.items() if n}}

    @property
    def own_seconds(self) -> float:
        """It has no thread of its own."""
        return 0.0

    def open(self) -> None:
        """Connects and learns what the stream holds."""
        self._hardware.check(self._stream.hardware)
        wanted = self._stream.transport or AUTO
        if wanted == AUTO:
            self._open_any()
        else:
            self._connect(wanted, self._stream.timeout_seconds)
        self._decoder = Decoder.of(self._container, self._stream.timeout_seconds)
        self._frames = self._decoder.frames()

    def read(self) -> VideoFrame | None:
        """The next picture; a camera that hangs up ends the stream without an error of FFmpeg's."""
        try:
            return next(self._frames, None)
        except av.error.FFmpegError as error:
            raise self._broken(self._failed(error)) from None  # it names the password

    def wants(self, fps: float) -> None:
        """Decodes key frames alone while these come as often as that."""
        if self._decoder is not None:
            self._decoder.wants(fps)

    def catch_up(self) -> None:
        """Decodes nothing more until the next key frame, if these come often enough."""
        if self._decoder is not None:
            self._decoder.catch_up()

    def interrupt(self) -> None:
        """Cannot hurry FFmpeg: a blocked read returns at the time-out at the latest."""

    def close(self) -> None:
        """Ends the connection."""
        if self._container is not None:
            self._container.close()

    def _open_any(self) -> None:
        """Connects by what worked before, or by UDP and then by TCP, within one time-out."""
        url, timeout = self._stream.url or "", self._stream.timeout_seconds
        deadline = time.monotonic() + timeout
        first = self._transports.first(url)
        try:
            if not (first == "udp" and self._open_udp(min(_UDP_SHARE * timeout, _UDP_SECONDS))):
                self._connect("tcp", max(deadline - time.monotonic(), timeout - _UDP_SECONDS))
        except SourceError:
            self._transports.failed(url)
            raise
        self._transports.worked(url, self._transport or first)

    def _open_udp(self, seconds: float) -> bool:
        """Whether pictures come by UDP within so many seconds.

        Raises:
            SourceError: The camera's answer would be the same by TCP.
        """
        began = time.monotonic()
        try:
            self._connect("udp", seconds)
        except SourceError as error:
            if error.code in _FINAL:
                raise
            return False
        if time.monotonic() - began < NEARLY * seconds:
            return True
        self.close()  # the SDP told everything, and FFmpeg opened what brings nothing
        return False

    def _connect(self, transport: str, seconds: float) -> None:
        """Connects within so many seconds to the first address of the host that answers."""
        urls, deadline = self._urls.of(self._url()), time.monotonic() + seconds
        for left, url in zip(range(len(urls), 0, -1), urls, strict=True):
            try:
                self._connect_to(url, transport, (deadline - time.monotonic()) / left)
            except SourceError as error:
                if left == 1 or error.code not in _NOBODY:
                    raise
            else:
                return

    def _connect_to(self, url: str, transport: str, seconds: float) -> None:
        self._transport, self._patience, self._began = transport, seconds, time.monotonic()
        deadline = self._began + seconds
        try:
            with translated(self._failed):
                self._container = self._asked(url, transport, deadline)
        except SourceError as error:
            if error.code is ErrorCode.UNREACHABLE:
                self._trust.check(url, self._urls.addresses(url), deadline - time.monotonic())
            raise
        self._began = None

    def _asked(self, url: str, transport: str, deadline: float) -> Any:
        """Asks again if the camera answers with a 5XX: its last session may not have ended yet."""
        for pause in _PAUSES:
            try:
                return self._opened(url, transport, deadline)
            except av.error.HTTPServerError:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
        return self._opened(url, transport, deadline)

    def _opened(self, url: str, transport: str, deadline: float) -> Any:
        left = max(0.0, deadline - time.monotonic())  # PyAV takes less than nothing for no limit
        return av.open(
            url,
            format="rtsp",
            options={
                **_FAST_OPEN,
                **_VIDEO_ONLY,
                **TRANSPORTS[transport],
                **self._trust.options,
                "protocol_whitelist": _PROTOCOLS,
            },
            timeout=(left, self._stream.timeout_seconds),
            hwaccel=self._hardware.acceleration(self._stream.hardware),
        )

    def _url(self) -> str:
        parts = urlsplit(filled(self._stream.url or "", self._stream.username, self._password))
        if self._stream.username is None:
            return urlunsplit(parts)
        user = quote(self._stream.username, safe="")
        secret = "" if self._password is None else ":" + quote(self._password, safe="")
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{user}{secret}@{place}"))

    def _broken(self, error: SourceError) -> SourceError:
        """Why a connection that stood broke."""
        if error.code is ErrorCode.TIMEOUT:
            seconds = self._stream.timeout_seconds
            return SourceError(ErrorCode.FROZEN, f"no picture for {seconds:g} s")
        if error.code is ErrorCode.UNSUPPORTED:
            return SourceError(ErrorCode.UNREACHABLE, str(error))
        return error

    def _failed(self, error: av.error.FFmpegError) -> SourceError:
        code = code_of(error, otherwise=ErrorCode.UNREACHABLE)
        waited = 0.0 if self._began is None else time.monotonic() - self._began
        if code is ErrorCode.TIMEOUT or waited > NEARLY * self._patience:
            seconds = self._stream.timeout_seconds
            return SourceError(ErrorCode.TIMEOUT, f"no answer for {seconds:g} s")
        return SourceError(code, redact(sentence(error), self._password))
