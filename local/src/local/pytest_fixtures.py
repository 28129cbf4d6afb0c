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
from local.jars import provide
from local.layout import Layout, state_root
from local.network import free_ports
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
