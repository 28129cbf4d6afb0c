"""Broker, registry and database of one platform."""

from dataclasses import dataclass
from pathlib import Path

from local.broker import broker
from local.jars import Jars
from local.network import LOOPBACK
from local.postgres import dsn, postgres
from local.process import ProcessSpec
from local.registry import registry, registry_url


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of one platform's infrastructure."""

    kafka: int
    controller: int
    registry: int
    management: int
    postgres: int


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Broker, registry and database, as specifications of processes.

    Args:
        data: Where they keep what they remember.
        jars: What the Java processes run from.
        ports: Where they listen.
    """

    data: Path
    jars: Jars
    ports: Ports

    @property
    def bootstrap(self) -> str:
        """Where Kafka clients connect."""
        return f"{LOOPBACK}:{self.ports.kafka}"

    @property
    def registry_url(self) -> str:
        """Where the schema registry is."""
        return registry_url(self.ports.registry)

    @property
    def dsn(self) -> str:
        """Where the database is."""
        return dsn(self.ports.postgres)

    def kafka(self) -> ProcessSpec:
        """The broker."""
        return broker(
            jars=self.jars.broker,
            data=self.data / "kafka",
            port=self.ports.kafka,
            controller=self.ports.controller,
        )

    def registry(self) -> ProcessSpec:
        """The schema registry."""
        return registry(
            folder=self.jars.registry,
            data=self.data / "registry",
            port=self.ports.registry,
            management=self.ports.management,
        )

    def postgres(self) -> ProcessSpec:
        """The database."""
        return postgres(data=self.data / "postgres", port=self.ports.postgres)
