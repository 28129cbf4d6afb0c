"""Faust's Kafka transport, made to keep the mesh's promises about delivery."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from faust.transport.drivers import aiokafka
from faust.types import TP, Message

_OUTAGE_S = 7 * 24 * 3600.0
"""However long a broker is away; aiokafka knows no "for ever"."""
_FETCH_WAIT_MS = 100


class PatientProducer(aiokafka.aiokafka.AIOKafkaProducer):  # type: ignore[misc]  # untyped too
    """Waits for a broker that is away, where aiokafka gives up what waits in its buffer.

    It does so after the time that one request may take, which stays short: a second batch of a
    partition then finds no room, and a broker that is back and has not elected leaders yet gets
    nothing of what is older.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._request_timeout_ms = _OUTAGE_S * 1000
        self._message_accumulator._batch_ttl = _OUTAGE_S  # noqa: SLF001 -- aiokafka's only switch


class IdempotentProducer(aiokafka.Producer):  # type: ignore[misc]  # Faust is untyped for us
    """Publishes with all acknowledgements and without duplicates of its own.

    Faust's producer is idempotent within transactions only. Its partitioner is Java's murmur2.
    """

    @property
    def _producer_type(self) -> type[PatientProducer]:
        return PatientProducer

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class PromptThread(aiokafka.AIOKafkaConsumerThread):  # type: ignore[misc]  # untyped too
    """Leaves no fetch at the broker for long; Faust's own wait there for up to 1.5 s.

    aiokafka fetches without the partitions whose last records nobody has taken for 0.1 s, and asks
    for them again when that fetch is answered: where the cameras share few partitions, by nothing
    but this wait.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001 -- Faust has no setting for it
        return consumer


class GuardedConsumer(aiokafka.Consumer):  # type: ignore[misc]  # Faust is untyped for us
    """Counts a record as done only if a stream has delivered it, and commits nothing beyond others.

    During a rebalance a stream skips the records that it still holds, and acknowledges them: one at
    the committed offset would be lost. A skipped record was never tracked. Faust also commits past
    one missing record at the committed offset, and takes for deleted whatever it did not read in
    order; here the first must be done, and the broker says what was deleted. A partition without a
    committed offset is read again from its beginning: aiokafka would go on behind what was skipped.
    Nothing of a source goes to a stream between an assignment and the seek that belongs to it, for
    what was read before the seek would come out of order. What is never read again stands still,
    which `StallWatch` ends.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._place = asyncio.Lock()
        self._seeks = 0
        self._fetched_after = 0
        self._sought_generation: int | None = None

    def _new_consumer_thread(self) -> PromptThread:
        return PromptThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Go back to where the group is, in all owned partitions."""
        async with self._place:
            generation = self.app.consumer_generation_id
            await super().perform_seek()
            self._seeks += 1
            self._sought_generation = generation

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 -- Faust's signature
    ) -> AsyncIterator[tuple[TP, Message]]:
        """What the broker has, without what was fetched before a seek or needs one first."""
        async for place, message in super().getmany(timeout):
            in_place = (
                self._fetched_after == self._seeks
                and self._sought_generation == self.app.consumer_generation_id
            )
            if in_place or not self.app.topics.acks_enabled_for(place.topic):
                yield place, message

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 -- Faust's signature
    ) -> Any:
        async with self._place:
            self._fetched_after = self._seeks
            return await super()._getmany(active_partitions, timeout)

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        """Go back to the committed offsets, or to the beginning of what has none.

        Returns:
            Where each owned partition is read from; nothing for a changelog without an offset.
        """
        offsets: dict[TP, int | None] = dict(await super().seek_to_committed())
        uncommitted = [
            place
            for place, offset in offsets.items()
            if not offset and self.app.topics.acks_enabled_for(place.topic)
        ]
        if uncommitted:
            beginnings = await self.earliest_offsets(*uncommitted)
            await self.seek_wait(beginnings)
            offsets.update(beginnings)
        return offsets

    def ack(self, message: Message) -> bool:
        """Mark a delivered message as done; a skipped one is read again."""
        return bool(message.tracked and super().ack(message))

    def committed(self, partition: TP) -> int | None:
        """Where an owned partition is read from after a restart; nothing for offset 0."""
        offset: int | None = self._committed_offset[partition]
        return offset

    def highwater(self, tp: TP) -> int | None:
        """Where a partition ends, as far as is known; nothing once the client has lost it.

        The client changes its assignment in a thread of its own, between any two of our steps.
        """
        try:
            end: int | None = super().highwater(tp)
        except (AssertionError, AttributeError):
            return None
        return end

    def _new_offset(self, tp: TP) -> int | None:
        """The next offset to commit; none while the record at the committed one is not done."""
        first = self.committed(tp) or 0
        if first not in self._acked_index[tp] and not self._gap[tp].overlaps(first):
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
