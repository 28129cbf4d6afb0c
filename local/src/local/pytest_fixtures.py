"""The session's infrastructure, one process at a time as tests ask for it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest

from local.doctor import find_chromium
from local.infrastructure import Infrastructure, Ports
from local.jars import provide, provide_object_server
from local.layout import Layout, state_root
from local.network import free_ports
from local.object_server import BUCKET, buckets, object_server, s3_environment
from local.supervisor import Supervisor


class SessionInfrastructure:
    """Starts broker, registry and database at their first use.

    Args:
        folder: An empty folder of this session's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: set[str] = set()

    @cached_property
    def parts(self) -> Infrastructure:
        """Broker, registry and database of this session."""
        cache = Layout.at(state_root(os.environ)).cache
        jars = provide(cache, report=print)
        return Infrastructure(self._folder / "data", jars, Ports(*free_ports(5)))

    @cached_property
    def supervisor(self) -> Supervisor:
        """What runs them."""
        return Supervisor([], log=self._folder / "log", run=self._folder / "run")

    def kafka(self) -> str:
        """The broker's address, once it is ready."""
        self._ensure("kafka")
        return self.parts.bootstrap

    def registry(self) -> str:
        """The schema registry's address, once it is ready."""
        self._ensure("registry")
        return self.parts.registry_url

    def postgres(self) -> str:
        """The database's address, once it is ready."""
        self._ensure("postgres")
        return self.parts.dsn

    def stop(self) -> None:
        """Stops what runs."""
        if self._running:
            self.supervisor.stop()

    def _ensure(self, name: str) -> None:
        if name in self._running:
            return
        specs = {
            "kafka": self.parts.kafka,
            "registry": self.parts.registry,
            "postgres": self.parts.postgres,
        }
        self._running.add(name)
        self.supervisor.add([specs[name]()])
        self.supervisor.start()


class ObjectServer:
    """A real S3 server that tests may stop and start again; it keeps what it had.

    Args:
        folder: A folder of its own.

    Attributes:
        url: What `SIGHTLINE_OBJECTS_URL` takes.
        folder: Where its objects lie as files.
        environment: What its clients have to be told.
    """

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        jar = provide_object_server(Layout.at(state_root(os.environ)).cache, report=print)
        self.url = f"s3://{BUCKET}"
        self.folder = buckets(folder / "data") / BUCKET
        self.environment = s3_environment(port)
        self._supervisor = Supervisor(
            [object_server(jar=jar, data=folder / "data", port=port)],
            log=folder / "log",
            run=folder / "run",
        )

    def start(self) -> None:
        """Starts it, unless it runs; returns once it answers."""
        self._supervisor.start()

    def stop(self) -> None:
        """Stops it."""
        self._supervisor.stop()


@pytest.fixture(scope="session")
def session_s3() -> Iterator[ObjectServer]:
    """The session's S3 server; stopped and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="sightline-s3-"))
    server = ObjectServer(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def s3(session_s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """A real S3 server that runs, and that this process's clients find."""
    for name, value in session_s3.environment.items():
        monkeypatch.setenv(name, value)
    session_s3.start()
    return session_s3


@pytest.fixture(scope="session")
def session_infrastructure() -> Iterator[SessionInfrastructure]:
    """What this test session started; stopped and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="sightline-test-"))
    session = SessionInfrastructure(folder)
    try:
        yield session
    finally:
        session.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(session_infrastructure: SessionInfrastructure) -> str:
    """The bootstrap address of a real broker."""
    return os.environ.get("SIGHTLINE_TEST_KAFKA") or session_infrastructure.kafka()


@pytest.fixture(scope="session")
def registry(session_infrastructure: SessionInfrastructure) -> str:
    """The address of a real schema registry, as Confluent clients want it."""
    return os.environ.get("SIGHTLINE_TEST_REGISTRY") or session_infrastructure.registry()


@pytest.fixture(scope="session")
def postgres(session_infrastructure: SessionInfrastructure) -> str:
    """The address of a real database with pgvector, as its superuser."""
    return os.environ.get("SIGHTLINE_TEST_POSTGRES") or session_infrastructure.postgres()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium, else the test is skipped by name."""
    found = find_chromium(os.environ)
    if found is None:
        pytest.skip("Chromium is absent: install the package chromium, or set SIGHTLINE_CHROMIUM")
    return found
