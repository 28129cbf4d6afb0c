"""Topics as they grow: each look reads what is new, the broker may be away in between."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from mesh.codec import AvroCodec
from mesh.errors import RejectedRecordError
from mesh.events import FrameCaptured
from mesh.kafka.vendor import record_of
from mesh.record import RawRecord, Record
from mesh.settings import MeshSettings

_WITHIN = 30.0
_POLL = 0.5
_AWAY = 120.0
"""How long a broker may need until it answers again, in seconds."""


class TopicLog:
    """Everything that was ever seen on some topics, whatever the broker has forgotten since.

    Args:
        settings: Where the broker is.
        codec: Bytes to events.
        names: Topics without prefix; records of topics without a schema stay bytes.
    """

    def __init__(self, settings: MeshSettings, codec: AvroCodec, names: Sequence[str]) -> None:
        self._settings = settings
        self._codec = codec
        self._names = {settings.topics(name): name for name in names}
        self._next: dict[tuple[str, int], int] = {}
        self.records: Mapping[str, list[Record[Any]]] = defaultdict(list)
        """By topic name without prefix; a record that cannot be decoded has no event."""

    def refresh(self) -> dict[tuple[str, int], int]:
        """Read to the end of all partitions as they are now.

        Returns:
            The ends: the next offset of each partition, by topic name without prefix.

        Raises:
            KafkaException: The broker does not answer.
            TimeoutError: It answers, and does not give what it has.
        """
        deadline = time.monotonic() + _AWAY
        while True:
            try:
                return self._refreshed()
            except (KafkaException, TimeoutError):
                if time.monotonic() > deadline:
                    raise

    def _refreshed(self) -> dict[tuple[str, int], int]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "group.id": "chaos-observer",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": False,
            }
        )
        try:
            return self._read(consumer)
        finally:
            consumer.close()

    def ends(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition, by topic name without prefix."""
        return {(self._names[topic], part): at for (topic, part), at in self._next.items()}

    def _read(self, consumer: Consumer) -> dict[tuple[str, int], int]:
        places = [
            TopicPartition(topic, number)
            for topic in self._names
            for number in range(self._settings.partitions)
        ]
        ends = {
            (place.topic, place.partition): consumer.get_watermark_offsets(place, timeout=_WITHIN)
            for place in places
        }
        for place in places:
            place.offset = self._next.get((place.topic, place.partition), OFFSET_BEGINNING)
        behind = {
            key for key, (low, high) in ends.items() if high > max(low, self._next.get(key, low))
        }
        consumer.assign(places)
        idle = 0.0
        while behind and idle < _WITHIN:
            message = consumer.poll(_POLL)
            if message is None or message.error():
                idle += _POLL
                continue
            idle = 0.0
            raw = record_of(message)
            key = (raw.topic, raw.partition)
            self._take(raw)
            self._next[key] = raw.offset + 1
            if raw.offset + 1 >= ends[key][1]:
                behind.discard(key)
        if behind:
            raise TimeoutError(f"{sorted(behind)} could not be read to the end")
        for key, (_, high) in ends.items():
            self._next[key] = max(high, self._next.get(key, high))
        return self.ends()

    def _take(self, raw: RawRecord) -> None:
        name = self._names[raw.topic]
        event: Any = raw.event
        if self._settings.topics.spec(raw.topic).records and raw.event is not None:
            try:
                event = _without_pictures(self._codec.decode(raw.topic, raw.event))
            except RejectedRecordError:
                event = None
        decoded: list[Record[Any]] = self.records[name]
        decoded.append(
            Record(
                topic=raw.topic,
                partition=raw.partition,
                offset=raw.offset,
                key=raw.key,
                event=event,
                headers=raw.headers,
                timestamp=raw.timestamp,
            )
        )


def _without_pictures(event: Any) -> Any:
    """Nobody looks at the pictures of frames, and those of hours are gigabytes."""
    if isinstance(event, FrameCaptured):
        return replace(event, image=None, detection_image=None)
    return event
