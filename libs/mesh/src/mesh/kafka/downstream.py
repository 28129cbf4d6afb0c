"""Whether the next stages keep up: what they read too late would be deleted before they did."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from threading import Event

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as VendorPartition

from mesh.clock import Clock, SystemClock
from mesh.errors import TransientError
from mesh.kafka.client_log import client_log
from mesh.kafka.ends import KafkaEnds
from mesh.kafka.vendor import our_offsets, translated
from mesh.record import TopicPartition
from mesh.settings import MeshSettings

INTERVAL = timedelta(seconds=5)
_ANSWER_SECONDS = 10.0
_SHARE = 4
"""An unread record may be as old as this part of its topic's retention."""


class Downstream:
    """Watches the groups that read what a stage publishes; `run` it in a thread.

    A lane whose records nobody waits for is held while a group is behind (`LaneSpec.held`): its
    records wait where they are kept for days, instead of where they are kept for an hour.
    """

    def __init__(
        self,
        settings: MeshSettings,
        groups: Mapping[str, str],
        *,
        interval: timedelta = INTERVAL,
        clock: Clock | None = None,
    ) -> None:
        """Take the groups to watch, each with the topic it reads; both without prefix."""
        self._topics = {settings.group(name): settings.topics(groups[name]) for name in groups}
        self._limits = {
            topic: (settings.topics.spec(topic).retention or timedelta.max) / _SHARE
            for topic in self._topics.values()
        }
        self._ends = KafkaEnds(
            settings.kafka_bootstrap, list(self._limits), instance_id=settings.instance_id
        )
        self._bootstrap = settings.kafka_bootstrap
        self._interval = interval.total_seconds()
        self._clock = clock or SystemClock()
        self._behind = False

    def behind(self) -> bool:
        """Whether a group was behind at the last look; answers at once."""
        return self._behind

    def run(self, stop: Event, warn: Callable[[str], None]) -> None:
        """Look again and again until `stop` is set; blocks.

        Args:
            stop: ends it, within what the broker takes to answer.
            warn: told why a look failed; what was seen last holds on.
        """
        while not stop.is_set():
            try:
                self._behind = self.look()
            except TransientError as error:
                warn(str(error))
            stop.wait(self._interval)

    def look(self) -> bool:
        """Whether a group has an unread record that is too old; asks the broker.

        Raises:
            TransientError: the broker did not answer.
            ConfigurationError: a topic does not exist.
        """
        now = self._clock.now()
        bounds = self._ends.read()
        for group, topic in self._topics.items():
            places = [place for place in bounds if place.topic == topic]
            fresh = self._ends.since(places, now - self._limits[topic])
            if overdue(self._read_until(group, places), bounds, fresh):
                return True
        return False

    def _read_until(
        self, group: str, places: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        # A new client each time, which never joins: an old one does not find its coordinator again
        # after the broker was away, and an AdminClient's question for offsets can end the process.
        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": group, "enable.auto.commit": False},
            logger=client_log(),
        )
        try:
            with translated("reading committed offsets"):
                found = consumer.committed(
                    [VendorPartition(*place) for place in places], timeout=_ANSWER_SECONDS
                )
        finally:
            consumer.close()
        return {source: stored.offset for source, stored in our_offsets(found).items()}


def overdue(
    read_until: Mapping[TopicPartition, int],
    bounds: Mapping[TopicPartition, tuple[int, int]],
    fresh: Mapping[TopicPartition, int | None],
) -> bool:
    """Whether a partition has an unread record from before the first fresh one.

    Args:
        read_until: the next offset to read; where it is missing nothing was read.
        bounds: first offset, and the offset after the last.
        fresh: offset of the first record that is young enough; none if all are too old.
    """
    for source, young in fresh.items():
        first, end = bounds[source]
        if max(read_until.get(source, first), first) < (end if young is None else young):
            return True
    return False
