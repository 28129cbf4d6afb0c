"""Loopback ports: free ones, and who holds one that is taken."""

import http.client
import os
import random
import socket
from contextlib import closing
from pathlib import Path

from mesh.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
_SERVER_PORTS = range(15_000, 32_000)


def free_ports(count: int) -> tuple[int, ...]:
    """Distinct TCP ports that nobody listens on at this moment.

    They lie below the range from which systems take the ports of outgoing connections, so that no
    connection takes one before its server does.

    Raises:
        ConfigurationError: There are not so many.
    """
    found: list[int] = []
    # Jitter, not secrecy: two platforms that start together should not collide.
    for port in random.sample(_SERVER_PORTS, len(_SERVER_PORTS)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise ConfigurationError(f"no {count} free TCP ports below {_SERVER_PORTS.stop}")
    return tuple(found)


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As servers do: a connection that lingers in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int, within: float = 0.5) -> bool:
    """Whether something accepts connections on this loopback port.

    Args:
        port: The TCP port.
        within: Seconds to wait.
    """
    try:
        socket.create_connection((LOOPBACK, port), timeout=within).close()
    except OSError:
        return False
    return True


def asked(port: int, path: str, within: float = 3.0) -> tuple[int, bytes] | None:
    """Status and body of a loopback server's answer; None if it gives none.

    Each process is asked ten times a second while all of them start, so this sets up nothing:
    neither certificates, nor proxies, nor a pool.

    Args:
        port: The TCP port.
        path: The path of the request.
        within: Seconds to wait for it to accept, and for each part of its answer.
    """
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=within)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None


def fetched(port: int, path: str) -> bytes | None:
    """The body of a loopback server's successful answer; None if it gives none."""
    told = asked(port, path)
    return told[1] if told is not None and 200 <= told[0] < 300 else None


def prefer(wanted: int | None) -> int:
    """The wanted port if it is free, else another free one."""
    if wanted is not None and is_free(wanted):
        return wanted
    return free_ports(1)[0]


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """Who listens on a TCP port, in words; what cannot be found out is said.

    Args:
        port: The TCP port.
        proc: The process file system (Linux).
    """
    inodes = _listening(proc, port)
    if not inodes:
        return "a process that this system does not name"
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        if inodes & _sockets(proc / str(pid) / "fd"):
            return f"process {pid} ({_command(proc / str(pid))})"
    return "a process of another user"


def _listening(proc: Path, port: int) -> set[str]:
    inodes = set()
    for table in (proc / "net" / "tcp", proc / "net" / "tcp6"):
        if not table.exists():
            continue
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{inode}]")
    return inodes


def _sockets(folder: Path) -> set[str]:
    try:
        links = [entry.path for entry in os.scandir(folder)]
    except OSError:
        return set()
    return {target for target in map(_target, links) if target.startswith("socket:")}


def _target(link: str) -> str:
    try:
        return str(Path(link).readlink())
    except OSError:
        return ""


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    return b" ".join(words).decode(errors="replace").strip()[:120]
