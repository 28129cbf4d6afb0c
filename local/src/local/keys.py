"""The generated keys of one platform: made once, readable by their owner only."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from mesh.errors import ConfigurationError

SECRET_KEY = "SIGHTLINE_SECRET_KEY"  # noqa: S105 - the name of a variable, not its value
JWT_SECRET = "SIGHTLINE_JWT_SECRET"  # noqa: S105 - the name of a variable, not its value
CALLBACK_SECRET = "SIGHTLINE_CALLBACK_SECRET"  # noqa: S105 - the name of a variable


def ensure_keys(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The keys of this platform; what neither the environment nor the file has is generated.

    Args:
        path: The file, one `NAME=value` a line; created with mode 0600.
        environ: Where the user may have set a key of their own.

    Raises:
        ConfigurationError: The file is there but not readable as such.
    """
    stored = _read(path)
    fresh = {
        SECRET_KEY: Fernet.generate_key().decode("ascii"),
        JWT_SECRET: secrets.token_urlsafe(48),
        CALLBACK_SECRET: secrets.token_urlsafe(48),
    }
    if not fresh.keys() <= stored.keys():
        stored = fresh | stored
        _write(path, stored)
    return {name: environ.get(name) or stored[name] for name in fresh}


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    path.chmod(0o600)
    lines = [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    pairs = [line.partition("=") for line in lines]
    if not all(separator and value for _, separator, value in pairs):
        raise ConfigurationError(f"{path}: every line must be NAME=value")
    return {name: value for name, _, value in pairs}


def _write(path: Path, values: Mapping[str, str]) -> None:
    write_private(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(path)
