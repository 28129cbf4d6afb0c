"""One whole installation on this machine: infrastructure, topics, schemas and services."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from pydantic import SecretStr

from local.backoff import RestartPolicy
from local.child import ChildState
from local.download import Report
from local.infrastructure import Infrastructure, Ports
from local.jars import provide
from local.keys import JWT_SECRET, ensure_keys
from local.layout import Layout
from local.network import LOOPBACK, holder, is_free, prefer
from local.postgres import dsn
from local.services import INFRASTRUCTURE, SERVICE_NAMES, processes
from local.supervisor import Supervisor
from mesh.auth import Tokens
from mesh.errors import ConfigurationError, TransientError
from mesh.kafka.admin import create_topics
from mesh.settings import MeshSettings

_DATABASE = "sightline"
_PARTITIONS = 4
_FRAME_BYTES = 128 << 20
"""What a partition of a frame topic keeps: minutes of live video, 2 GiB in all at most."""
_OURS_ALONE = ("SIGHTLINE_DEMO_", "SIGHTLINE_LOCAL_", "SIGHTLINE_VAR")
"""Variables that no service has any business with; a camera's password may be in one."""


def silent(_line: str) -> None:
    """Reports nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to install.

    Args:
        layout: Where everything is kept.
        gateway_port: The gateway's port; any free one if None.
        instances: How many of each service, one where it is not named.
        environment: Variables for every service, over the platform's own.
        own: Variables for one service, by its name, over those.
        topic_prefix: What topic and group names begin with.
        restart: When a process that ended is started again.
        environ: The environment that this process was given.
    """

    layout: Layout
    gateway_port: int | None = None
    instances: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    topic_prefix: str = "sightline."
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def __post_init__(self) -> None:
        """Refuses services that do not exist."""
        unknown = (set(self.instances) | set(self.own)) - set(SERVICE_NAMES)
        if unknown:
            raise ConfigurationError(
                f"no service {', '.join(sorted(unknown))}; there are {', '.join(SERVICE_NAMES)}"
            )


class Installation:
    """Starts, watches and stops the mesh of one plan.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        plan: What to install.
        report: Takes progress lines; called from several threads.
    """

    def __init__(self, plan: Plan, report: Report = silent) -> None:
        self._plan = plan
        self._report = report
        self._layout = plan.layout
        self._layout.create()
        self._keys = ensure_keys(self._layout.keys, plan.environ)
        self.gateway_port = _gateway_port(plan.gateway_port)
        self.infrastructure = Infrastructure(
            self._layout.data,
            provide(self._layout.cache, report=report, environ=plan.environ),
            _ports(self._layout.run / "ports.json"),
        )
        self.supervisor = Supervisor(
            [],
            log=self._layout.log,
            run=self._layout.run,
            policy=plan.restart,
            say=report,
        )

    def __enter__(self) -> Self:
        """Starts everything; see `start`."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops everything."""
        self.stop()

    @property
    def url(self) -> str:
        """The address of the gateway and its page."""
        return f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def database(self) -> str:
        """The address of the services' database."""
        return dsn(self.infrastructure.ports.postgres, _DATABASE)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that all services share."""
        own = {
            "SIGHTLINE_KAFKA_BOOTSTRAP": self.infrastructure.bootstrap,
            "SIGHTLINE_REGISTRY_URL": self.infrastructure.registry_url,
            "SIGHTLINE_DATABASE_URL": self.database,
            "SIGHTLINE_OBJECTS_URL": self._layout.objects.as_uri(),
            "SIGHTLINE_TOPIC_PREFIX": self._plan.topic_prefix,
            "SIGHTLINE_PARTITIONS": str(_PARTITIONS),
            "SIGHTLINE_REPLICATION": "1",
            "SIGHTLINE_SESSION_TIMEOUT_MS": "6000",
            # The sample and the user's own clips are files of this machine.
            "SIGHTLINE_ALLOW_FILE_SOURCES": "true",
            "SIGHTLINE_MODELS_CACHE": str(self._layout.cache / "models"),
        }
        given = {
            name: value
            for name, value in self._plan.environ.items()
            if not name.startswith(_OURS_ALONE)
        }
        return given | own | self._keys | dict(self._plan.environment)

    def token(self, role: str = "admin", lifetime: timedelta = timedelta(days=30)) -> str:
        """A bearer token for this installation."""
        tokens = Tokens(SecretStr(self._keys[JWT_SECRET]))
        return tokens.issue("local", role, lifetime, datetime.now(UTC))

    def start(self) -> None:
        """Starts everything and waits until all is ready.

        Raises:
            StartError: A process did not become ready.
            TransientError: Topics or schemas could not be registered.
        """
        self.start_infrastructure()
        self.set_up()
        self.start_services()

    def start_infrastructure(self) -> None:
        """Starts broker, registry and database."""
        self._report("Starting broker, registry and database (up to 30 s the first time)")
        parts = self.infrastructure
        self.supervisor.add([parts.kafka(), parts.registry(), parts.postgres()])
        self.supervisor.start()

    def set_up(self) -> None:
        """Creates database, topics and schemas; what is there already stays.

        Raises:
            TransientError: One of them could not be created.
        """
        self._report("Creating database, topics and schemas")
        _create_database(self.infrastructure.dsn)
        create_topics(self._mesh_settings(), frame_bytes=_FRAME_BYTES)
        done = subprocess.run(
            [str(Path(sys.executable).with_name("mesh")), "schemas", "register"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode != 0:
            output = (done.stderr + done.stdout)[-3000:]
            raise TransientError(f"`mesh schemas register` failed: {output}")

    def _mesh_settings(self) -> MeshSettings:
        return MeshSettings(
            kafka_bootstrap=self.infrastructure.bootstrap,
            registry_url=self.infrastructure.registry_url,
            topic_prefix=self._plan.topic_prefix,
            partitions=_PARTITIONS,
            replication=1,
        )

    def start_services(self) -> None:
        """Starts the services."""
        self._report("Starting the services (up to a minute)")
        specs = processes(
            layout=self._layout,
            instances=self._plan.instances,
            gateway_port=self.gateway_port,
            shared=self.environment,
            own=self._plan.own,
            after=INFRASTRUCTURE,
        )
        self.supervisor.add(specs)
        self.supervisor.start()

    def stop(self) -> None:
        """Stops everything, services first."""
        self.supervisor.stop()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a process a signal; if it ends of it, it is started again by the policy."""
        self.supervisor.kill(name, number)

    def pid(self, name: str) -> int:
        """The process id of a running process."""
        return self.supervisor.pid(name)

    def restart(self, name: str) -> None:
        """Ends a process orderly and starts it again; returns before it is ready."""
        self.supervisor.restart(name)

    def await_ready(self, name: str, within: float = 60.0) -> None:
        """Waits until a process is ready."""
        self.supervisor.await_ready(name, within)

    def states(self) -> list[ChildState]:
        """What can be told of every process."""
        return self.supervisor.states()


def _gateway_port(wanted: int | None) -> int:
    if wanted is None or wanted == 0:
        return prefer(None)
    if not is_free(wanted):
        raise ConfigurationError(
            f"port {wanted} for the page is taken by {holder(wanted)}: "
            "end it, or set SIGHTLINE_GATEWAY_PORT to another"
        )
    return wanted


def _ports(memory: Path) -> Ports:
    """The ports of the last run where they are free, else other free ones."""
    try:
        stored = json.loads(memory.read_text())
        last = {name: int(port) for name, port in stored.items()}
    except (OSError, ValueError, AttributeError):
        last = {}
    ports = Ports(**{name: prefer(last.get(name)) for name in Ports.__slots__})
    memory.write_text(json.dumps(asdict(ports)))
    return ports


def _create_database(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,))
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {_DATABASE}")
