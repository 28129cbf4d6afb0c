"""What all cameras of the network share: an event loop, names, and a pool of connections."""

import concurrent.futures
import contextlib
import ssl
from collections.abc import Mapping
from functools import partial

from camera.adapters.bridged_source import LoopThread
from camera.adapters.checked_connections import CheckedNames
from camera.adapters.http_pictures import HttpPictures
from camera.adapters.mjpeg_source import mjpeg_source
from camera.adapters.socket_source import socket_source
from camera.adapters.sources import Maker
from camera.adapters.websocket_source import websocket_source
from mesh.addresses import AddressPolicy, Resolve, resolve
from mesh.events import StreamType

_CLOSE_SECONDS = 2.0


class Network:
    """Makes the sources of cameras that are read by coroutines.

    Args:
        policy: Where nobody may connect to.
        resolve: Asks the name service.
        trust: Whose certificates are believed; the system's unless given.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolve: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._names = CheckedNames(policy, resolve)
        self._trust = trust or ssl.create_default_context()
        self._loop = LoopThread()
        self._http: HttpPictures | None = None

    @property
    def makers(self) -> Mapping[StreamType, Maker]:
        """By kind of stream."""
        loop, names = self._loop, self._names
        return {
            StreamType.HTTP_MJPEG: partial(mjpeg_source, loop=loop, pictures=self._pictures),
            StreamType.WEBSOCKET: partial(
                websocket_source, loop=loop, names=names, trust=self._trust
            ),
            StreamType.SOCKET: partial(socket_source, loop=loop, names=names),
        }

    def close(self) -> None:
        """Ends every connection; repeatable."""
        http, self._http = self._http, None
        if http is not None:
            with contextlib.suppress(RuntimeError, concurrent.futures.TimeoutError):
                self._loop.submit(http.close()).result(_CLOSE_SECONDS)
        self._loop.close()

    def _pictures(self) -> HttpPictures:
        """The pool of connections; made at the first use, in the event loop."""
        if self._http is None:
            self._http = HttpPictures(self._names, self._trust)
        return self._http
