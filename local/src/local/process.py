"""What the supervisor runs: a command, how it becomes ready and how it is ended."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BEHIND = 5
"""The niceness of what no frame waits for on its way to a client: a third of the others' weight."""
_LEAST = 19
_AGAIN = 0.1
"""Seconds between two changes of sessions' weights that the kernel allows who is not root."""


def _nothing() -> None:
    """Needs no preparation."""


def _at_once() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One local process of the platform.

    Args:
        name: Its name in `status`, in calls and of its log file.
        command: Program and arguments.
        environment: Its whole environment.
        folder: Its working directory.
        after: Names of processes that must be ready before it is started.
        prepare: Runs before every start; may be slow and may raise MeshError.
        ready: Whether it does its work; must answer within a few seconds.
        ready_within: Seconds until it counts as failed to start.
        niceness: How far it stands back where processors are short, 0 to 19 as nice(1) counts.
        user: The user id to run as, where it must not be this one's.
        stop_signal: What asks it to end.
        stop_within: Seconds until it is killed.
        orphan_signal: What the kernel sends it should its supervisor be killed. Nobody is left then
            who could end what does not end by itself, so nothing is asked.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path | None = None
    after: tuple[str, ...] = ()
    prepare: Callable[[], None] = _nothing
    ready: Callable[[], bool] = _at_once
    ready_within: float = 180.0
    niceness: int = 0
    user: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 15.0
    orphan_signal: signal.Signals = signal.SIGKILL


def stand_back(pid: int, niceness: int, proc: Path = Path("/proc")) -> None:
    """Lets a session's first process, and what it starts from now on, yield to other sessions.

    Where Linux weighs whole sessions against each other a process's niceness counts within its own
    alone, so the session's is set too (sched(7), "The autogroup feature").

    Args:
        pid: Its id; nothing happens if it has ended.
        niceness: 0 to 19 as nice(1) counts: how much more than it has.
        proc: Where the kernel shows its processes.
    """
    with contextlib.suppress(ProcessLookupError):
        own = os.getpriority(os.PRIO_PROCESS, pid)
        os.setpriority(os.PRIO_PROCESS, pid, min(own + niceness, _LEAST))
    for _ in range(5):
        try:
            (proc / str(pid) / "autogroup").write_text(str(niceness))
        except BlockingIOError:
            time.sleep(_AGAIN)
        except OSError:  # no such groups here, or it has ended
            return
        else:
            return


def born(pid: int, proc: Path = Path("/proc")) -> str:
    """When a process was started, in the kernel's ticks; "" if it is not there.

    Together with its id this names a process for good, although ids are used again.
    """
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
