"""RTSP servers as programs of their own, which end with the test."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from services.camera.tests.patience import PATIENT

from local import rtsp


@dataclass(frozen=True, slots=True)
class Server:
    """A program that serves cameras."""

    process: "subprocess.Popen[str]"
    address: str
    """Of its first camera."""

    def kill(self) -> None:
        """Ends it at once; repeatable."""
        self.process.kill()
        self.process.wait(PATIENT)


Start = Callable[..., Server]


@contextmanager
def rtsp_servers() -> Iterator[Start]:
    """Starts programs that print `ready` and an address; skips where there is no GStreamer."""
    reason = rtsp.missing()
    if reason:
        pytest.skip(reason)
    running: list[Server] = []

    def start(*command: str) -> Server:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        running.append(Server(process, ready[1] if ready else ""))
        assert ready[:1] == ["ready"]
        return running[-1]

    try:
        yield start
    finally:
        for server in running:
            server.kill()
            if server.process.stdout:
                server.process.stdout.close()
