"""Cameras that send pictures over bare TCP: between delimiters, or each after its length."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence

from camera.adapters.bridged_source import BridgedSource, LoopThread, Received
from camera.adapters.checked_connections import CheckedNames, keep_alive, unreachable
from camera.domain.jpeg import START
from camera.domain.life import ErrorCode
from camera.domain.splitting import (
    GARBAGE,
    LengthSplitter,
    MarkerSplitter,
    Splitter,
    is_garbage,
)
from camera.ports import FrameSource, SourceError
from mesh.addresses import endpoints
from mesh.events import Camera, StreamConfig

_CHUNK = 256 * 1024
_DELIMITER = START + b"\xff"


class SocketStream:
    """One TCP connection over which pictures come.

    Args:
        stream: Host, port and framing.
        names: Looks the host up.
        splitter: Takes the framing apart.
    """

    transport = "tcp"

    def __init__(self, stream: StreamConfig, names: CheckedNames, splitter: Splitter) -> None:
        self._stream = stream
        self._names = names
        self._splitter = splitter
        self._delimiter = stream.frame_delimiter or _DELIMITER
        self.passed_over: Counter[str] = splitter.passed_over
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._received = 0

    async def open(self) -> None:
        """Connects."""
        (endpoint,) = endpoints(self._stream)
        connection = await self._names.connect(endpoint.host, endpoint.port)
        if self._stream.keepalive:
            keep_alive(connection)
        self._reader, self._writer = await asyncio.open_connection(sock=connection, limit=_CHUNK)

    async def read(self) -> Sequence[Received]:
        """The next whole pictures; none once the camera has hung up."""
        while self._reader is not None:
            try:
                data = await self._reader.read(_CHUNK)
            except OSError as error:
                raise unreachable(self._stream.host or "", error) from error
            self._received += len(data)
            found = self._split(data)
            if found or not data:
                return found
        return ()

    async def close(self) -> None:
        """Ends the connection without waiting for what the camera still sends."""
        if self._writer is not None:
            self._writer.transport.abort()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    def _split(self, data: bytes) -> Sequence[Received]:
        found = []
        for picture in self._splitter.feed(data):
            if is_garbage(picture.before, self._delimiter):
                self.passed_over[GARBAGE] += 1
            size, self._received = self._received, 0
            found.append(Received(picture.jpeg, picture.width, picture.height, size))
        return found


def _delimited(stream: StreamConfig) -> Splitter:
    delimiter = stream.frame_delimiter or _DELIMITER
    return MarkerSplitter(limit=stream.max_message_bytes, delimiter=delimiter)


def _length_prefixed(stream: StreamConfig) -> Splitter:
    return LengthSplitter(limit=stream.max_message_bytes)


SOCKET_PROTOCOLS: dict[str, Callable[[StreamConfig], Splitter]] = {
    "custom_v1": _delimited,
    "delimited": _delimited,
    "length_prefixed": _length_prefixed,
}


def socket_source(
    camera: Camera, password: str | None, *, loop: LoopThread, names: CheckedNames
) -> FrameSource:
    """A source for a SOCKET camera.

    Raises:
        SourceError: Its protocol is none of ours.
    """
    del password  # there is nothing to sign in to
    stream = camera.stream
    make = SOCKET_PROTOCOLS.get(stream.protocol or "custom_v1")
    if make is None:
        known = ", ".join(SOCKET_PROTOCOLS)
        raise SourceError(ErrorCode.UNSUPPORTED, f"protocol {stream.protocol} is none of {known}")
    framed = SocketStream(stream, names, make(stream))
    return BridgedSource(framed, loop, stream.timeout_seconds)
