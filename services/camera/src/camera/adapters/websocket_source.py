"""Cameras that send pictures as the messages of a WebSocket."""

import ssl
from collections import Counter
from collections.abc import Sequence

from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)

from camera.adapters.bridged_source import BridgedSource, LoopThread, Received
from camera.adapters.checked_connections import CheckedNames, unreachable
from camera.adapters.http_pictures import basic_authorization, check_sign_in
from camera.domain.jpeg import whole_jpeg
from camera.domain.life import ErrorCode
from camera.domain.messages import message_of
from camera.domain.splitting import BROKEN
from camera.ports import FrameSource, SourceError
from mesh.addresses import endpoints
from mesh.credentials import filled, names_password
from mesh.events import Camera, StreamConfig

PROTOCOLS = ("binary", "base64", "json")
NO_PICTURE = "no_picture"
"""A message without a picture, such as a greeting."""
_TOO_BIG = 1009
_CODES = {
    1000: ErrorCode.STREAM_ENDED,
    1001: ErrorCode.STREAM_ENDED,
    1003: ErrorCode.UNSUPPORTED,
    1007: ErrorCode.UNSUPPORTED,
    1008: ErrorCode.UNAUTHORIZED,
    3000: ErrorCode.UNAUTHORIZED,
    3003: ErrorCode.UNAUTHORIZED,
    4401: ErrorCode.UNAUTHORIZED,
    4403: ErrorCode.UNAUTHORIZED,
    4404: ErrorCode.NOT_FOUND,
}
"""Close codes that mean more than a connection that broke."""
_STATUS = {
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.UNAUTHORIZED,
    404: ErrorCode.NOT_FOUND,
    410: ErrorCode.NOT_FOUND,
}
_REDIRECTS = range(300, 400)


class _Connect(connect):
    """Follows no redirects: where they lead was not checked."""

    @override
    def process_redirect(self, exc: Exception) -> Exception | str:
        """Leaves the answer as it is."""
        return exc


class WebSocketStream:
    """One WebSocket over which pictures come.

    Args:
        stream: Address, headers and limits.
        password: In clear text; never part of a message.
        names: Looks the host up.
        trust: Whose certificates are believed.
    """

    transport = "websocket"

    def __init__(
        self,
        stream: StreamConfig,
        password: str | None,
        names: CheckedNames,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._stream = stream
        self._password = password
        self._names = names
        self._trust = trust
        self.passed_over: Counter[str] = Counter()
        self._socket: ClientConnection | None = None
        self._received = 0

    async def open(self) -> None:
        """Connects and shakes hands."""
        (endpoint,) = endpoints(self._stream)
        connection = await self._names.connect(endpoint.host, endpoint.port)
        secure = endpoint.scheme == "wss"
        try:
            self._socket = await _Connect(
                filled(self._stream.url or "", self._stream.username, self._password),
                sock=connection,
                ssl=(self._trust or ssl.create_default_context()) if secure else None,
                additional_headers={**self._stream.headers, **self._credentials()},
                proxy=None,
                open_timeout=None,
                close_timeout=1,
                ping_interval=self._stream.ping_interval,
                ping_timeout=self._stream.timeout_seconds,
                max_size=self._stream.max_message_bytes,
                max_queue=2,
            )
        except ssl.SSLCertVerificationError as error:
            raise SourceError(
                ErrorCode.UNTRUSTED,
                f"{endpoint.host}: the certificate is not trusted: {error.verify_message}",
            ) from error
        except InvalidStatus as error:
            raise _refused(error.response.status_code) from error
        except (InvalidHandshake, InvalidURI, ConnectionClosed, EOFError) as error:
            why = "answers with something else than a WebSocket"
            raise SourceError(ErrorCode.UNREACHABLE, f"{endpoint.host}: {why}") from error
        except OSError as error:
            raise unreachable(endpoint.host, error) from error

    async def read(self) -> Sequence[Received]:
        """The next picture; none once the camera has ended the stream."""
        while self._socket is not None:
            try:
                message = await self._socket.recv()
            except ConnectionClosed as closed:
                self._end(closed)
                return ()
            self._received += len(message)
            found = self._picture(message)
            if found is not None:
                return (found,)
        return ()

    async def close(self) -> None:
        """Ends the connection."""
        if self._socket is not None:
            await self._socket.close()

    def _picture(self, message: bytes | str) -> Received | None:
        brought = message_of(message)
        if brought is None:
            self.passed_over[NO_PICTURE] += 1
            return None
        whole = whole_jpeg(brought.image)
        if whole is None:
            self.passed_over[BROKEN] += 1
            return None
        size, self._received = self._received, 0
        return Received(*whole, size, brought.taken)

    def _credentials(self) -> dict[str, str]:
        if self._stream.username is None or names_password(self._stream.url or ""):
            return {}
        return {"Authorization": basic_authorization(self._stream.username, self._password)}

    def _end(self, closed: ConnectionClosed) -> None:
        """Raises what the end of the connection means, unless the camera ended it in order."""
        if closed.sent is not None and closed.sent.code == _TOO_BIG and not closed.rcvd_then_sent:
            limit = self._stream.max_message_bytes
            raise SourceError(
                ErrorCode.UNSUPPORTED, f"a message is longer than {limit} bytes"
            ) from closed
        if closed.rcvd is None:
            raise SourceError(ErrorCode.UNREACHABLE, "the connection broke") from closed
        code = _CODES.get(closed.rcvd.code, ErrorCode.UNREACHABLE)
        if code is not ErrorCode.STREAM_ENDED:
            why = f"closed with {closed.rcvd.code}"
            raise SourceError(code, why) from closed


def _refused(status: int) -> SourceError:
    if status in _REDIRECTS:
        return SourceError(
            ErrorCode.UNSUPPORTED, f"answers with {status}: a redirect, register where it leads to"
        )
    return SourceError(_STATUS.get(status, ErrorCode.UNREACHABLE), f"answers with {status}")


def websocket_source(
    camera: Camera,
    password: str | None,
    *,
    loop: LoopThread,
    names: CheckedNames,
    trust: ssl.SSLContext | None = None,
) -> FrameSource:
    """A source for a WEBSOCKET camera that waits to be asked.

    Raises:
        SourceError: Its protocol or its way to sign in is none of ours.
    """
    stream = camera.stream
    if stream.protocol not in (None, *PROTOCOLS):
        known = ", ".join(PROTOCOLS)
        raise SourceError(ErrorCode.UNSUPPORTED, f"protocol {stream.protocol} is none of {known}")
    check_sign_in(stream, ("basic",))
    pictures = WebSocketStream(stream, password, names, trust)
    return BridgedSource(pictures, loop, stream.timeout_seconds)
