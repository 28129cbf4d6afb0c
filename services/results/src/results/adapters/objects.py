"""Stored face pictures, each named by the SHA-256 of its bytes, in a folder or on S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from mesh.errors import TransientError
from mesh.objects import ObjectFolder
from results.domain.errors import AwayError

_FOLDER = "snapshots"
_SHARD = 2
"""Digits of the digest that name the folder of a picture."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A picture in the store."""

    sha256: str
    modified_at: datetime


class ObjectStore:
    """Reads and writes pictures by digest; safe to use from several threads.

    Every method blocks and raises `TransientError` when the store is away.
    """

    def __init__(self, url: str) -> None:
        """Take the address; nothing is contacted yet.

        Raises:
            ConfigurationError: the scheme is unknown or its driver is not installed.
        """
        self._folder = ObjectFolder(url, _FOLDER)

    def write(self, sha256: str, data: bytes) -> None:
        """Store a picture under its digest; whole or not at all, and again without effect."""
        with _translated():
            self._folder.write(_path(sha256), data)

    def read(self, sha256: str) -> bytes:
        """The picture with this digest.

        Raises:
            KeyError: there is none.
        """
        with _translated():
            return self._folder.read(_path(sha256))

    def delete(self, sha256: str) -> None:
        """Remove a picture; one that is not there is fine."""
        with _translated():
            self._folder.delete(_path(sha256))

    def modified_at(self, sha256: str) -> datetime | None:
        """When the picture was last written, UTC; `None` if there is none."""
        with _translated():
            return self._folder.modified_at(_path(sha256))

    def __iter__(self) -> Iterator[StoredObject]:
        """Every picture, in no order; what comes or goes meanwhile may be missing."""
        with _translated():
            shards = [name for name in self._folder.folders() if len(name) == _SHARD]
        for shard in shards:
            with _translated():
                found = self._folder.files(shard)
            for item in found:
                yield StoredObject(item.name.rpartition("/")[2], item.modified_at)

    def check(self) -> str | None:
        """What is wrong with the store, or nothing."""
        return self._folder.check()

    def sweep(self, before: datetime) -> int:
        """Remove what a writer that was killed left unfinished; returns how many."""
        with _translated():
            return self._folder.sweep(before)


def _path(sha256: str) -> str:
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise KeyError(sha256)
    return f"{sha256[:_SHARD]}/{sha256}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        raise AwayError("object_store", str(error)) from error
