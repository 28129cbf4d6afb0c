"""RTSP cameras, with one stream or two."""

from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from camera.adapters.checked_urls import CheckedUrls
from camera.adapters.pyav_hardware import Hardware
from camera.adapters.rtsp_source import AUTO, TRANSPORTS, RtspSource
from camera.adapters.rtsp_transports import Transports
from camera.adapters.rtsp_trust import Trust
from camera.adapters.second_stream import AtOnce, TwoStreams
from camera.domain.backoff import Backoff
from camera.domain.life import ErrorCode
from camera.domain.policy import host_of
from camera.ports import ConnectionTurns, FrameSource, SourceError
from mesh.events import Camera, StreamConfig


@dataclass(frozen=True, slots=True)
class RtspCameras:
    """Makes the sources of RTSP cameras, and remembers which transport each needs."""

    hardware: Hardware = field(default_factory=Hardware)
    urls: CheckedUrls = field(default_factory=CheckedUrls)
    trust: Trust = field(default_factory=Trust)
    backoff: Backoff = field(default_factory=Backoff)
    """Of second streams."""
    turns: ConnectionTurns = field(default_factory=AtOnce)
    """Of second streams; the main ones have theirs already."""
    _transports: Transports = field(default_factory=Transports)

    def __call__(self, camera: Camera, password: str | None = None) -> FrameSource:
        """A source that is not connected yet.

        Raises:
            SourceError: Streams with these settings cannot be read.
        """
        stream = camera.stream
        for name, url in (("url", stream.url), ("sub_url", stream.sub_url)):
            if url is not None and urlsplit(url).scheme not in {"rtsp", "rtsps"}:
                raise _unsupported(f"the {name} of an RTSP stream begins with rtsp")
        if not stream.url:
            raise _unsupported("an RTSP stream needs a url")
        if (stream.transport or AUTO) not in {*TRANSPORTS, AUTO}:
            known = ", ".join([*TRANSPORTS, AUTO])
            raise _unsupported(f"transport {stream.transport} is none of {known}")
        main = self._source(stream, password)
        if stream.sub_url is None:
            return main
        second = replace(stream, url=stream.sub_url)
        return TwoStreams(
            main,
            lambda: self._source(second, password),
            backoff=self.backoff,
            turns=self.turns,
            host=host_of(replace(camera, stream=second)),
        )

    def _source(self, stream: StreamConfig, password: str | None) -> RtspSource:
        return RtspSource(
            stream,
            password,
            transports=self._transports,
            hardware=self.hardware,
            urls=self.urls,
            trust=self.trust,
        )


def _unsupported(message: str) -> SourceError:
    return SourceError(ErrorCode.UNSUPPORTED, message)
