"""SHA-256 of files; a file is read again only when it changed."""

import hashlib
import threading
from pathlib import Path
from typing import NamedTuple

_BLOCK = 1 << 20


class _Stat(NamedTuple):
    """What changes when a file does."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


class Fingerprints:
    """The SHA-256 of files by path, remembered for as long as their stat stays the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[_Stat, str]] = {}

    def of(self, path: Path) -> str:
        """The SHA-256 of a file, 64 hexadecimal digits; reads it only if its stat changed.

        Raises:
            OSError: the file cannot be read.
        """
        stat = _stat(path)
        with self._lock:
            known = self._known.get(path)
        if known and known[0] == stat:
            return known[1]
        digest = sha256_of(path)
        with self._lock:
            self._known[path] = (stat, digest)
        return digest


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _stat(path: Path) -> _Stat:
    found = path.stat()
    return _Stat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
