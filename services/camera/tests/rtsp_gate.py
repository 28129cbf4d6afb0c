"""A TCP proxy between an RTSP client and its camera that hears and changes what they say."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

Change = Callable[[bytes], bytes]


def unchanged(said: bytes) -> bytes:
    return said


class Gate:
    """Passes one connection after another on.

    Args:
        url: The camera.
        asked: Changes what the client says.
        answered: Changes what the camera says.
    """

    def __init__(
        self, url: str, *, asked: Change = unchanged, answered: Change = unchanged
    ) -> None:
        parts = urlsplit(url)
        self._camera = (parts.hostname or "", parts.port or 554)
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}"))
        self.heard = b""
        """All that clients said."""
        self._changes = (asked, answered)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listening, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                camera = socket.create_connection(self._camera)
                self._open += [client, camera]
                for source, target, change in (
                    (client, camera, self._asked),
                    (camera, client, self._changes[1]),
                ):
                    threading.Thread(
                        target=_pass_on, args=(source, target, change), daemon=True
                    ).start()

    def _asked(self, said: bytes) -> bytes:
        self.heard += said
        return self._changes[0](said)


def _pass_on(source: socket.socket, target: socket.socket, change: Change) -> None:
    with suppress(OSError):
        while said := source.recv(65536):
            target.sendall(change(said))
        target.shutdown(socket.SHUT_WR)
