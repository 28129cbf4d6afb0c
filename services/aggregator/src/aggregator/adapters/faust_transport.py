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
    """Counts a record as done only if a stream has delivered it, and commits nothing beyond others.

    During a rebalance a stream skips the records that it still holds, and acknowledges them: one at
    the committed offset would be lost. A skipped record was never tracked. Faust also commits past
    one missing record at the committed offset, and takes for deleted whatever it did not read in
    order; here the first must be done, and the broker says what was deleted. What is never read
    again stands still, which `StallWatch` ends.
    """

    def ack(self, message: Message) -> bool:
        """Mark a delivered message as done; a skipped one is read again."""
        return bool(message.tracked and super().ack(message))

    def committed(self, partition: TP) -> int | None:
        """The offset that the group has committed in an owned partition, if it has."""
        offset: int | None = self._committed_offset[partition]
        return offset

    def _new_offset(self, tp: TP) -> int | None:
        """The next offset to commit; none while the record at the committed one is not done."""
        first = self.committed(tp)
        if first and first not in self._acked_index[tp] and not self._gap[tp].overlaps(first):
            return None
        offset: int | None = super()._new_offset(tp)
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Take for done what the broker has deleted before the record at `offset_to` was read."""
        earliest = (await self.earliest_offsets(tp))[tp]
        begin = min(offset_from, self.committed(tp) or offset_from)
        end = min(offset_to, earliest)
        if begin < end:
            self._gap[tp].addi(begin, end)
            self._gap[tp].merge_overlaps()


class MeshTransport(aiokafka.Transport):  # type: ignore[misc]  # Faust is untyped for us
    """aiokafka with an idempotent producer and a consumer that never acknowledges what it skips."""

    Consumer = GuardedConsumer
    Producer = IdempotentProducer
