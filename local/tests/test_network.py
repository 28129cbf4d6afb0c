import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from local.network import LOOPBACK, answers, asked, fetched, free_ports, holder, is_free, prefer

# Ports are probed on the loopback interface.
pytestmark = pytest.mark.usefixtures("socket_enabled")


@pytest.fixture
def listener() -> "socket.socket":
    server = socket.socket()
    server.bind((LOOPBACK, 0))
    server.listen()
    return server


def test_free_ports_are_distinct_free_and_below_the_outgoing_range() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(is_free(port) for port in ports)
    assert max(ports) < 32_768


def test_a_port_in_use_is_not_free_and_its_holder_is_named(listener: socket.socket) -> None:
    with listener:
        port = int(listener.getsockname()[1])
        assert not is_free(port)
        assert answers(port)
        assert prefer(port) != port
        if sys.platform == "linux":
            assert holder(port).startswith(f"process {os.getpid()} (")


def test_a_preferred_port_is_kept_while_free() -> None:
    port = free_ports(1)[0]
    assert prefer(port) == port
    assert not answers(port)


def test_a_holder_that_cannot_be_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    assert holder(80, tmp_path) == "a process that this system does not name"
    line = "0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 4711 1"
    (tmp_path / "net" / "tcp").write_text(f"header\n{line}\n")
    assert holder(80, tmp_path) == "a process of another user"
    folder = tmp_path / "42" / "fd"
    folder.mkdir(parents=True)
    (folder / "3").symlink_to("socket:[4711]")
    (tmp_path / "42" / "cmdline").write_bytes(b"nginx\0-g\0daemon off\0")
    assert holder(80, tmp_path) == "process 42 (nginx -g daemon off)"


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None),
        (b"", None),
    ],
    ids=["answer", "empty", "refusal", "cut", "not-http", "hangs-up"],
)
def test_only_a_successful_whole_answer_is_one(
    listener: socket.socket, sent: bytes, body: bytes | None
) -> None:
    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(sent)

    server = threading.Thread(target=serve)
    server.start()
    with listener:
        assert fetched(int(listener.getsockname()[1]), "/ready") == body
        server.join()


def test_a_server_that_is_silent_or_away_gives_no_answer(listener: socket.socket) -> None:
    with listener:
        assert asked(int(listener.getsockname()[1]), "/ready", within=0.1) is None
    assert fetched(free_ports(1)[0], "/ready") is None
