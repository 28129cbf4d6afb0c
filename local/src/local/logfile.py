"""Log files of child processes, bounded in size."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

LIMIT = 8 << 20


def open_log(path: Path) -> BinaryIO:
    """Opens a process's log for appending, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "wb")


def bound(path: Path, limit: int = LIMIT) -> None:
    """Keeps a log and one older part of it below a limit each.

    The writer has the file open for appending, so it is copied and emptied, not renamed.

    Args:
        path: The log.
        limit: The size in bytes from which it is emptied.
    """
    if path.exists() and path.stat().st_size > limit:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)


def tail(path: Path, lines: int = 12) -> list[str]:
    """The last lines of a log, fewer if it has no more."""
    if not path.exists():
        return []
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 16_384))
        return stream.read().decode(errors="replace").splitlines()[-lines:]
