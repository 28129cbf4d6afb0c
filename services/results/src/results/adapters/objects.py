"""Stored pictures, each named by the SHA-256 of its bytes, in a folder or on S3."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from mesh.errors import ConfigurationError, TransientError
from results.domain.errors import AwayError

_FOLDER = "snapshots"
_INCOMING = "incoming"
"""Where local pictures are written before they get their names; on the same file system."""


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
        try:
            self._fs, root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"SIGHTLINE_OBJECTS_URL {url!r}: {error}") from error
        self._root = f"{root.rstrip('/')}/{_FOLDER}"
        self._local = "file" in self._fs.protocol
        self._away: tuple[type[Exception], ...] = (OSError, *_vendor_errors(self._fs.protocol))

    def write(self, sha256: str, data: bytes) -> None:
        """Store a picture under its digest; whole or not at all, and again without effect."""
        path = self._path(sha256)
        with self._translated():
            if not self._local:
                self._fs.pipe_file(path, data)
                return
            self._write_local(Path(path), data)

    def read(self, sha256: str) -> bytes:
        """The picture with this digest.

        Raises:
            KeyError: there is none.
        """
        with self._translated():
            try:
                data: bytes = self._fs.cat_file(self._path(sha256))
            except FileNotFoundError as error:
                raise KeyError(sha256) from error
            return data

    def delete(self, sha256: str) -> None:
        """Remove a picture; one that is not there is fine."""
        with self._translated():
            try:
                self._fs.rm_file(self._path(sha256))
            except FileNotFoundError:
                return

    def modified_at(self, sha256: str) -> datetime | None:
        """When the picture was last written, UTC; `None` if there is none."""
        with self._translated():
            self._fs.invalidate_cache()
            try:
                return _modified(self._fs.info(self._path(sha256)))
            except FileNotFoundError:
                return None

    def __iter__(self) -> Iterator[StoredObject]:
        """Every picture, in no order; what comes or goes meanwhile may be missing."""
        with self._translated():
            self._fs.invalidate_cache()
            for shard in range(256):
                folder = f"{self._root}/{shard:02x}"
                try:
                    found = self._fs.ls(folder, detail=True)
                except FileNotFoundError:
                    continue
                for item in found:
                    yield StoredObject(item["name"].rpartition("/")[2], _modified(item))

    def check(self) -> str | None:
        """What is wrong with the store, or nothing."""
        try:
            with self._translated():
                if self._local:
                    self._fs.makedirs(self._root, exist_ok=True)
                else:
                    self._fs.exists(self._root)
        except TransientError as error:
            return str(error)
        return None

    def _write_local(self, path: Path, data: bytes) -> None:
        """Beside its place first: another file system, such as /tmp, would make it a copy."""
        incoming = Path(self._root) / _INCOMING
        for folder in (incoming, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=incoming)
        try:
            with open(number, "wb") as file:  # noqa: PTH123 -- a descriptor
                file.write(data)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def sweep(self, before: datetime) -> int:
        """Remove what a writer that was killed left unfinished; returns how many."""
        if not self._local:
            return 0
        with self._translated():
            left = [
                path
                for path in (Path(self._root) / _INCOMING).glob("*")
                if path.stat().st_mtime < before.timestamp()
            ]
            for path in left:
                path.unlink(missing_ok=True)
            return len(left)

    def _path(self, sha256: str) -> str:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise KeyError(sha256)
        return f"{self._root}/{sha256[:2]}/{sha256}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._away as error:
            raise AwayError("object_store", f"the object store is away: {error}") from error


def _modified(info: dict[str, Any]) -> datetime:
    stamp = info["mtime"] if "mtime" in info else info["LastModified"]
    return stamp if isinstance(stamp, datetime) else datetime.fromtimestamp(stamp, UTC)


def _vendor_errors(protocol: Any) -> tuple[type[Exception], ...]:
    """Failures of S3's client that are no OSError; the client is an extra."""
    if "s3" not in protocol:
        return ()
    errors = import_module("botocore.exceptions")
    return errors.BotoCoreError, errors.ClientError
