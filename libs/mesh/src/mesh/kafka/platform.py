"""Where a worker reads and publishes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from mesh.kafka.consumer import KafkaConsumer
from mesh.kafka.ends import KafkaEnds
from mesh.kafka.producer import KafkaProducer
from mesh.kafka.standstill import Bounds
from mesh.ports import Consumer, Producer
from mesh.settings import MeshSettings


class Platform(Protocol):
    """Makes clients: `KafkaPlatform`, or an `InMemoryBroker` in tests."""

    def consumer(self, group: str) -> Consumer:
        """A new member of a group."""

    def producer(self) -> Producer:
        """A producer."""

    def bounds(self, topics: Sequence[str]) -> Callable[[], Bounds]:
        """What asks where the partitions of some topics begin and end; it may block."""


@dataclass(frozen=True, slots=True)
class KafkaPlatform:
    """The broker that the settings name."""

    settings: MeshSettings

    def consumer(self, group: str) -> Consumer:
        """A new member of a group."""
        return KafkaConsumer(
            self.settings.kafka_bootstrap,
            group,
            instance_id=self.settings.instance_id,
            session_timeout=self.settings.session_timeout,
            answer_timeout=timedelta(seconds=self.settings.stop_seconds / 8),
        )

    def producer(self) -> Producer:
        """A producer that gives up on a broker in time for an orderly stop."""
        return KafkaProducer(
            self.settings.kafka_bootstrap,
            instance_id=self.settings.instance_id,
            delivery_timeout=flush_timeout(self.settings),
        )

    def bounds(self, topics: Sequence[str]) -> Callable[[], Bounds]:
        """Asks with a client of its own, for the consumer's may be what is wrong."""
        return KafkaEnds(
            self.settings.kafka_bootstrap, topics, instance_id=self.settings.instance_id
        ).read


def flush_timeout(settings: MeshSettings) -> timedelta:
    """How long acknowledgements may take: half of what a stop may."""
    return timedelta(seconds=settings.stop_seconds / 2)
