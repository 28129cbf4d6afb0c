"""How many pushed pictures wait for their first stage, asked of the broker."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as VendorPartition

from mesh.errors import TransientError
from mesh.events import Lane
from mesh.kafka.client_log import client_log
from mesh.kafka.ends import KafkaEnds
from mesh.logs import get_logger
from mesh.record import TopicPartition
from mesh.settings import MeshSettings

_ANSWER_SECONDS = 2.0
_EVERY_SECONDS = 1.0
_SILENCE = 3
_LANES = (Lane.URGENT, Lane.REQUEST)


class _Group:
    """How far a group is; looks over its shoulder and never joins it.

    An AdminClient would do, but librdkafka 2.16 crashes the process in
    `list_consumer_group_offsets` while a new broker has no coordinator yet. Nor does a consumer
    that never joins find its coordinator again after the broker was away: after a failure a new one
    asks.
    """

    def __init__(self, settings: MeshSettings, group: str) -> None:
        self._config = {
            "bootstrap.servers": settings.kafka_bootstrap,
            "client.id": settings.instance_id,
            "group.id": settings.group(group),
            "enable.auto.commit": False,
        }
        self._open: Consumer | None = None

    def committed(self, places: Sequence[TopicPartition]) -> list[int]:
        """The committed offset of each partition, negative if there is none; blocks for seconds.

        Raises:
            TransientError: The broker does not answer.
        """
        with self._asking() as consumer:
            asked = [VendorPartition(*place) for place in places]
            return [each.offset for each in consumer.committed(asked, timeout=_ANSWER_SECONDS)]

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


class Backlog:
    """Follows how many pushed pictures wait for their first stage; one thread."""

    def __init__(self, settings: MeshSettings) -> None:
        self._groups = {
            settings.topics.lane(lane): _Group(settings, f"detection.{lane.value}")
            for lane in _LANES
        }
        self._ends = KafkaEnds(
            settings.kafka_bootstrap,
            list(self._groups),
            instance_id=settings.instance_id,
            within=timedelta(seconds=_ANSWER_SECONDS),
        )
        self._failures = 0
        self._problem: str | None = "the broker has not answered yet"
        self.waiting = 0
        """As of the last answer."""

    def run(self, stop: threading.Event) -> None:
        """Ask every second until `stop` is set."""
        while not stop.is_set():
            try:
                self.waiting = self.look()
                self._failures, self._problem = 0, None
            except TransientError as error:
                self._failures += 1
                if self._failures >= _SILENCE:
                    self._problem = str(error)
                get_logger("backlog").warning("broker_away", message=str(error))
            stop.wait(_EVERY_SECONDS)
        for group in self._groups.values():
            group.close()

    def look(self) -> int:
        """Pictures in the queues that detection has not finished; asks the broker.

        Raises:
            TransientError: The broker does not answer.
        """
        bounds = self._ends.read()
        waiting = 0
        for topic, group in self._groups.items():
            places = [place for place in bounds if place.topic == topic]
            for place, done in zip(places, group.committed(places), strict=True):
                first, end = bounds[place]
                waiting += max(0, end - max(done, first))
        return waiting

    def check(self) -> str | None:
        """What keeps the broker from answering, or nothing."""
        return self._problem
