"""Where partitions begin and end at the moment, without reading them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as VendorPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from mesh.errors import MeshError, TransientError
from mesh.kafka.client_log import client_log
from mesh.kafka.vendor import translated
from mesh.record import TopicPartition

_PATIENCE = timedelta(seconds=10)
_SOON = timedelta(seconds=3)


class KafkaEnds:
    """Asks the broker for the bounds of every partition of some topics.

    After a failure a new client asks: an old one may be what is wrong (`mesh.kafka.stranded`).
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        *,
        instance_id: str,
        within: timedelta = _PATIENCE,
    ) -> None:
        """Take the addresses and full topic names; nothing is contacted yet.

        Args:
            bootstrap: addresses of brokers.
            topics: full names.
            instance_id: who asks, for the broker's logs.
            within: how long an answer may take.
        """
        self._topics = topics
        self._within = within.total_seconds()
        self._broker = {"bootstrap.servers": bootstrap, "client.id": instance_id}
        self._admin: AdminClient | None = None

    def read(self) -> dict[TopicPartition, tuple[int, int]]:
        """First offset, and the offset after the last, of every partition; blocks.

        Raises:
            TransientError: The broker did not answer, or does not know a topic (yet).
        """
        with self._asking() as admin, translated("looking partitions up"):
            known = admin.list_topics(timeout=self._within).topics
        missing = [topic for topic in self._topics if topic not in known]
        if missing:
            raise TransientError(f"the broker knows no topic {missing[0]}")
        places = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in known[topic].partitions
        ]
        # The end first: a partition may grow or be cut between the two questions.
        ends = self._ask(places, OffsetSpec.latest())
        firsts = self._ask(places, OffsetSpec.earliest())
        return {place: (firsts[place], ends[place]) for place in places}

    def since(
        self, places: Sequence[TopicPartition], at: datetime
    ) -> dict[TopicPartition, int | None]:
        """Offset of each partition's first record stamped `at` or later, if there is one; blocks.

        Raises:
            TransientError: The broker did not answer.
        """
        found = self._ask(places, OffsetSpec.for_timestamp(int(at.timestamp() * 1000)))
        return {place: None if offset < 0 else offset for place, offset in found.items()}

    def check(self, within: timedelta = _SOON) -> str | None:
        """What keeps the broker from answering in time, or nothing; from any thread, blocks."""
        try:
            with self._asking() as admin, translated("asking the broker"):
                admin.list_topics(timeout=within.total_seconds())
        except MeshError as error:
            return f"the broker does not answer: {error}"
        return None

    def _ask(self, places: Sequence[TopicPartition], what: OffsetSpec) -> dict[TopicPartition, int]:
        asked = {VendorPartition(*place): what for place in places}
        found = {}
        with self._asking() as admin:
            answers = admin.list_offsets(asked, request_timeout=self._within)
            for vendor, future in answers.items():
                try:
                    found[TopicPartition(vendor.topic, vendor.partition)] = future.result().offset
                except KafkaException as error:
                    raise TransientError(f"looking offsets up: {error.args[0].str()}") from error
        return found

    @contextmanager
    def _asking(self) -> Iterator[AdminClient]:
        admin = self._admin = self._admin or AdminClient(self._broker, logger=client_log())
        try:
            yield admin
        except TransientError:
            self._admin = None
            raise
