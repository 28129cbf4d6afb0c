"""How far groups are behind on topics, asked of the broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicPartition

from mesh.errors import TransientError
from mesh.events import Lane
from mesh.kafka.client_log import client_log
from mesh.logs import get_logger
from mesh.settings import MeshSettings

_ANSWER_SECONDS = 2.0
_EVERY_SECONDS = 1.0
_SILENCE = 3
_LANES = (Lane.URGENT, Lane.REQUEST)


class TopicEnds:
    """Asks the broker where topics end and how far a group is; blocks for at most seconds.

    It looks over the group's shoulder and never joins it. An AdminClient would do, but
    librdkafka 2.16 crashes the process in `list_consumer_group_offsets` while a new broker has no
    coordinator yet. Nor does a consumer that never joins find its coordinator again after the
    broker was away: after a failure a new one asks.
    """

    def __init__(self, settings: MeshSettings, group: str = "watch") -> None:
        self._config = {
            "bootstrap.servers": settings.kafka_bootstrap,
            "client.id": settings.instance_id,
            "group.id": settings.group(group),
            "enable.auto.commit": False,
        }
        self._open: Consumer | None = None

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition.

        Raises:
            TransientError: The broker does not answer.
        """
        with self._asking() as consumer:
            places = _partitions(consumer, topic)
            return {place.partition: _bounds(consumer, place)[1] for place in places}

    def waiting(self, topic: str) -> int:
        """Records of a topic that the group has not finished.

        Raises:
            TransientError: The broker does not answer.
        """
        with self._asking() as consumer:
            places = _partitions(consumer, topic)
            done = consumer.committed(places, timeout=_ANSWER_SECONDS)
            bounds = [_bounds(consumer, place) for place in places]
        return sum(
            max(0, end - max(place.offset, start))
            for place, (start, end) in zip(done, bounds, strict=True)
        )

    def close(self) -> None:
        """Give the connections back."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @contextmanager
    def _asking(self) -> Iterator[Consumer]:
        if self._open is None:
            self._open = Consumer(self._config, logger=client_log())
        try:
            yield self._open
        except KafkaException as error:
            self.close()
            raise TransientError(f"the broker does not answer: {error}") from error


def _partitions(consumer: Consumer, topic: str) -> list[TopicPartition]:
    found = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
    return [TopicPartition(topic, number) for number in sorted(found.partitions)]


def _bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    bounds = consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)
    if bounds is None:
        raise TransientError(f"the broker does not tell where {place.topic} ends")
    start, end = bounds
    return start, end


class Backlog:
    """Follows how many pushed pictures wait for their first stage; one thread."""

    def __init__(self, settings: MeshSettings) -> None:
        self._queues = {
            settings.topics.lane(lane): TopicEnds(settings, f"detection.{lane.value}")
            for lane in _LANES
        }
        self._failures = 0
        self._problem: str | None = "the broker has not answered yet"
        self.waiting = 0
        """As of the last answer."""

    def run(self, stop: threading.Event) -> None:
        """Ask every second until `stop` is set."""
        while not stop.is_set():
            try:
                self.waiting = sum(ends.waiting(topic) for topic, ends in self._queues.items())
                self._failures, self._problem = 0, None
            except TransientError as error:
                self._failures += 1
                if self._failures >= _SILENCE:
                    self._problem = str(error)
                get_logger("backlog").warning("broker_away", message=str(error))
            stop.wait(_EVERY_SECONDS)
        for ends in self._queues.values():
            ends.close()

    def check(self) -> str | None:
        """What keeps the broker from answering, or nothing."""
        return self._problem
