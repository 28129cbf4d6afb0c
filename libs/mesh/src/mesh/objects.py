"""A folder of an object store, on a disk or on S3: what is in it is whole or absent."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from mesh.errors import ConfigurationError, TransientError

_INCOMING = "incoming"
"""Where local files are written before they get their names; on the same file system."""
_S3: dict[str, Any] = {
    "config_kwargs": {
        "connect_timeout": 2,
        "read_timeout": 5,
        "retries": {"total_max_attempts": 1},
    }
}
"""A store that is away is told within seconds; whoever asks decides when to ask again."""
_S3_TRIES = 2


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object in the store."""

    name: str
    """Its path within the folder."""
    modified_at: datetime


class ObjectFolder:
    """Reads and writes objects by their path in one folder; safe to use from several threads.

    Every method blocks and raises `TransientError` when the store is away.
    """

    def __init__(self, url: str, folder: str) -> None:
        """Take the store's address and a folder in it; nothing is contacted yet.

        Raises:
            ConfigurationError: the scheme is unknown or its driver is not installed.
        """
        s3 = url.startswith("s3:")
        try:
            self._fs, root = url_to_fs(url, **(_S3 if s3 else {}))
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"SIGHTLINE_OBJECTS_URL {url!r}: {error}") from error
        self._bucket = root.split("/")[0]
        self._root = f"{root.rstrip('/')}/{folder}"
        self._local = "file" in self._fs.protocol
        self._away: tuple[type[Exception], ...] = (OSError, *_vendor_errors(self._fs.protocol))
        if s3:
            self._fs.retries = _S3_TRIES

    @property
    def url(self) -> str:
        """The folder's address; an object's is this, a slash and its path."""
        return str(self._fs.unstrip_protocol(self._root))

    @property
    def mounted(self) -> bool:
        """Whether anything could be found: on a disk, whether the folder itself is there."""
        return not self._local or Path(self._root).is_dir()

    def write(self, name: str, data: bytes) -> None:
        """Store an object: whole or not at all, and again without effect."""
        path = self._path(name)
        with self._translated():
            if not self._local:
                self._fs.pipe_file(path, data)
                return
            self._write_local(Path(path), data)

    def read(self, name: str) -> bytes:
        """The bytes of an object.

        Raises:
            KeyError: there is none.
        """
        with self._translated():
            try:
                data: bytes = self._fs.cat_file(self._path(name))
            except FileNotFoundError as error:
                raise KeyError(name) from error
            return data

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is fine."""
        with self._translated():
            try:
                self._fs.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def modified_at(self, name: str) -> datetime | None:
        """When the object was last written, UTC; `None` if there is none."""
        with self._translated():
            self._fs.invalidate_cache()
            try:
                return _modified(self._fs.info(self._path(name)))
            except FileNotFoundError:
                return None

    def folders(self, within: str = "") -> Sequence[str]:
        """The paths of the folders in one; there are none if it is not there itself."""
        return [name for kind, name, _ in self._listed(within) if kind == "directory"]

    def files(self, within: str = "") -> Sequence[StoredFile]:
        """The objects in a folder, in no order; none if it is not there."""
        return [
            StoredFile(name, _modified(info))
            for kind, name, info in self._listed(within)
            if kind == "file"
        ]

    def remove_folder(self, name: str) -> int:
        """Remove a folder with all that is in it; returns how many objects that were."""
        with self._translated():
            self._fs.invalidate_cache()
            try:
                count = len(self._fs.find(self._path(name)))
                self._fs.rm(self._path(name), recursive=True)
            except FileNotFoundError:
                return 0
            return count

    def check(self) -> str | None:
        """What is wrong with the store, or nothing."""
        try:
            with self._translated():
                if self._local:
                    self._fs.makedirs(self._root, exist_ok=True)
                else:
                    self._fs.call_s3("head_bucket", Bucket=self._bucket)
        except TransientError as error:
            return str(error)
        return None

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

    def _listed(self, within: str) -> list[tuple[str, str, dict[str, Any]]]:
        with self._translated():
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._path(within) if within else self._root, detail=True)
            except FileNotFoundError:
                return []
        prefix = f"{within}/" if within else ""
        return [
            (item["type"], prefix + item["name"].rstrip("/").rpartition("/")[2], item)
            for item in found
        ]

    def _path(self, name: str) -> str:
        if ".." in name or name.startswith("/"):
            raise KeyError(name)
        return f"{self._root}/{name}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._away as error:
            raise TransientError(f"the object store is away: {error}") from error


def _modified(info: dict[str, Any]) -> datetime:
    stamp = info["mtime"] if "mtime" in info else info["LastModified"]
    return stamp if isinstance(stamp, datetime) else datetime.fromtimestamp(stamp, UTC)


def _vendor_errors(protocol: Any) -> tuple[type[Exception], ...]:
    """Failures of S3's client that are no OSError; the client is an extra."""
    if "s3" not in protocol:
        return ()
    errors = import_module("botocore.exceptions")
    return errors.BotoCoreError, errors.ClientError
