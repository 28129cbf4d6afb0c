"""Which supervisor owns a state folder, and how another process finds and ends it."""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.layout import Layout
from local.process import born
from mesh.errors import ConfigurationError


class AlreadyRunningError(ConfigurationError):
    """Another supervisor owns this state folder."""


@contextmanager
def owned(layout: Layout) -> Iterator[None]:
    """Owns a state folder for as long as the block runs.

    Raises:
        AlreadyRunningError: Another process owns it.
    """
    layout.create()
    with (layout.run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(f"another process runs in {layout.root}") from error
        me = {"pid": os.getpid(), "born": born(os.getpid())}
        _file(layout).write_text(json.dumps(me))
        try:
            yield
        finally:
            _file(layout).unlink(missing_ok=True)


def owner(layout: Layout) -> int | None:
    """The process id of the supervisor that owns a state folder, None if there is none."""
    try:
        entry = json.loads(_file(layout).read_text())
        pid, when = int(entry["pid"]), str(entry["born"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if when and born(pid) == when else None


def stop_owner(layout: Layout, within: float = 90.0) -> bool:
    """Asks the supervisor of a state folder to stop everything and waits for it.

    Args:
        layout: The state folder.
        within: Seconds to wait.

    Returns:
        Whether there was one.

    Raises:
        ConfigurationError: It did not end in time.
    """
    pid = owner(layout)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within
    while owner(layout) == pid:
        if time.monotonic() > deadline:
            raise ConfigurationError(f"process {pid} did not stop within {within:g} s")
        time.sleep(0.1)
    return True


def _file(layout: Layout) -> Path:
    return layout.run / "supervisor.json"
