"""Hashes of files that users supply, pinned at their first use so that drift is refused."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.errors import ConfigurationError

NAME = "models.lock"


class Pins:
    """`models.lock` in the cache: `{"<model>/<file>": "<sha256>"}`; shared by all processes."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self.path = cache / NAME

    def get(self, key: str) -> str | None:
        """The SHA-256 that was pinned, or none before the first use.

        Raises:
            ConfigurationError: the lock file is damaged.
        """
        return self._read().get(key)

    def pin(self, key: str, sha256: str) -> str:
        """Pin a hash, unless another process was faster; the pinned one is returned.

        Raises:
            ConfigurationError: the lock file is damaged or cannot be written.
        """
        try:
            with self._alone():
                pins = self._read()
                if key not in pins:
                    pins[key] = sha256
                    self._write(pins)
                return pins[key]
        except OSError as error:
            raise ConfigurationError(
                f"the hash of {key} cannot be pinned in {self.path}: {error}"
            ) from error

    def _read(self) -> dict[str, str]:
        if not self.path.exists():
            return {}
        try:
            pins = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{self.path} is damaged: {error}") from error
        if not isinstance(pins, dict) or not all(isinstance(pin, str) for pin in pins.values()):
            raise ConfigurationError(f"{self.path} is damaged: it must map files to hashes")
        return pins

    def _write(self, pins: dict[str, str]) -> None:
        fresh = self.path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(pins, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(self.path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._cache.mkdir(parents=True, exist_ok=True)
        folder = os.open(self._cache, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
