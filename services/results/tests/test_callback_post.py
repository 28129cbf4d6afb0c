"""Callbacks to servers that answer slowly, on a socket of this machine."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, repeat

import pytest

from mesh.errors import TransientError
from results.adapters.callback_post import CallbackPost
from results.adapters.callback_targets import CallbackTargets
from results.domain.callbacks import CallbackPolicy

pytestmark = pytest.mark.usefixtures("socket_enabled")
_STATUS = [b"HTTP/1.1 200 OK\r\n"]


class Dribbling:
    """A server that says a thing, then another, until its client goes."""

    def __init__(self, said: Iterator[bytes]) -> None:
        self._said = said
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(60)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/taken"
        self._over = threading.Event()

    def serve(self) -> bool:
        """Whether the client went by itself."""
        connection, _ = self._listening.accept()
        with connection:
            for line in self._said:
                try:
                    connection.sendall(line)
                except OSError:
                    return True
                if self._over.wait(0.02):
                    break
        return False

    def close(self) -> None:
        self._over.set()
        self._listening.close()


@contextlib.contextmanager
def dribbling(said: Iterator[bytes]) -> "Iterator[tuple[str, Future[bool]]]":
    server = Dribbling(said)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(server.serve)
        try:
            yield server.url, served
        finally:
            server.close()


def a_post(seconds: float) -> CallbackPost:
    targets = CallbackTargets(CallbackPolicy.parse("127.0.0.1"))
    return CallbackPost(targets, b"a secret", seconds=seconds)


def test_a_server_that_never_ends_its_headers_is_left_when_the_time_is_over() -> None:
    with dribbling(chain(_STATUS, repeat(b"X: y\r\n"))) as (url, served):
        with pytest.raises(TransientError, match="no answer within"):
            a_post(0.3).send(url, "job_1", {"status": "completed"})
        assert served.result(60)


def test_a_server_that_never_ends_its_body_has_taken_the_callback() -> None:
    headers = [b"Transfer-Encoding: chunked\r\n\r\n"]
    said = chain(_STATUS, headers, repeat(b"800\r\n" + b"a" * 0x800 + b"\r\n"))
    with dribbling(said) as (url, served):
        a_post(60).send(url, "job_1", {"status": "completed"})
        assert served.result(60)
