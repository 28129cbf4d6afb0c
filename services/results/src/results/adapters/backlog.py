"""How far groups are behind on topics, asked of the broker."""

import threading
from collections.abc import Sequence
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from mesh.errors import TransientError
from mesh.events import Lane
from mesh.logs import get_logger
from mesh.settings import MeshSettings

_ANSWER_SECONDS = 2.0
_EVERY_SECONDS = 1.0
_SILENCE = 3
_LANES = (Lane.URGENT, Lane.REQUEST)
_NEVER_COMMITTED = -1


class TopicEnds:
    """Asks the broker where topics end; blocks for at most seconds."""

    def __init__(self, settings: MeshSettings) -> None:
        self._admin = AdminClient(
            {"bootstrap.servers": settings.kafka_bootstrap, "client.id": settings.instance_id}
        )

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition.

        Raises:
            TransientError: The broker does not answer.
        """
        return self._offsets(self._partitions(topic), OffsetSpec.latest())

    def waiting(self, topic: str, group: str) -> int:
        """Records of a topic that a group has not finished.

        Raises:
            TransientError: The broker does not answer.
        """
        places = self._partitions(topic)
        ends = self._offsets(places, OffsetSpec.latest())
        starts = self._offsets(places, OffsetSpec.earliest())
        done = self._committed(places, group)
        return sum(
            max(0, end - max(done.get(number, _NEVER_COMMITTED), starts[number]))
            for number, end in ends.items()
        )

    def _partitions(self, topic: str) -> list[TopicPartition]:
        try:
            found = self._admin.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
        except KafkaException as error:
            raise TransientError(f"the broker does not answer: {error}") from error
        return [TopicPartition(topic, number) for number in found.partitions]

    def _offsets(self, places: Sequence[TopicPartition], spec: Any) -> dict[int, int]:
        asked = self._admin.list_offsets(
            dict.fromkeys(places, spec), request_timeout=_ANSWER_SECONDS
        )
        return {place.partition: _result(future).offset for place, future in asked.items()}

    def _committed(self, places: Sequence[TopicPartition], group: str) -> dict[int, int]:
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, list(places))], request_timeout=_ANSWER_SECONDS
        )
        found = _result(asked[group]).topic_partitions
        return {place.partition: place.offset for place in found}


class Backlog:
    """Follows how many pushed pictures wait for their first stage; one thread."""

    def __init__(self, settings: MeshSettings, ends: TopicEnds) -> None:
        self._ends = ends
        self._queues = [
            (settings.topics.lane(lane), settings.group(f"detection.{lane.value}"))
            for lane in _LANES
        ]
        self._failures = 0
        self._problem: str | None = "the broker has not answered yet"
        self.waiting = 0
        """As of the last answer."""

    def run(self, stop: threading.Event) -> None:
        """Ask every second until `stop` is set."""
        while not stop.is_set():
            try:
                self.waiting = sum(self._ends.waiting(*queue) for queue in self._queues)
                self._failures, self._problem = 0, None
            except TransientError as error:
                self._failures += 1
                if self._failures >= _SILENCE:
                    self._problem = str(error)
                get_logger("backlog").warning("broker_away", message=str(error))
            stop.wait(_EVERY_SECONDS)

    def check(self) -> str | None:
        """What keeps the broker from answering, or nothing."""
        return self._problem


def _result(future: Any) -> Any:
    try:
        return future.result(_ANSWER_SECONDS)
    except (KafkaException, TimeoutError) as error:
        raise TransientError(f"the broker does not answer: {error}") from error
