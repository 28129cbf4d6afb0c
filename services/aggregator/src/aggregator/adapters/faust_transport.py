"""Faust's Kafka transport, made to keep the mesh's promises about delivery."""

from collections.abc import Mapping
from typing import Any

from faust.transport.drivers import aiokafka
from faust.types import TP, Message


class IdempotentProducer(aiokafka.Producer):  # type: ignore[misc]  # Faust is untyped for us
    """Publishes with all acknowledgements and without duplicates of its own.

    Faust's producer is idempotent within transactions only. Its partitioner is Java's murmur2.
    """

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class GuardedConsumer(aiokafka.Consumer):  # type: ignore[misc]  # Faust is untyped for us
    """Counts a record as done only if a stream has delivered it.

    During a rebalance a stream skips the records that it still holds, and acknowledges them: one at
    the committed offset would be lost. A skipped record was never tracked.
    """

    def ack(self, message: Message) -> bool:
        """Mark a delivered message as done; a skipped one is read again."""
        return bool(message.tracked and super().ack(message))

    def committed(self, partition: TP) -> int | None:
        """The offset that the group has committed in an owned partition, if it has."""
        offset: int | None = self._committed_offset[partition]
        return offset


class MeshTransport(aiokafka.Transport):  # type: ignore[misc]  # Faust is untyped for us
    """aiokafka with an idempotent producer and a consumer that never acknowledges what it skips."""

    Consumer = GuardedConsumer
    Producer = IdempotentProducer
