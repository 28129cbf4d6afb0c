"""The dead-letter topic for an operator: read from end to end, opened, and published again."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as VendorPartition
from confluent_kafka.admin import AdminClient

from mesh.crypto import Cipher
from mesh.errors import ConfigurationError, TransientError
from mesh.kafka.client_log import client_log
from mesh.kafka.producer import KafkaProducer
from mesh.kafka.vendor import record_of, translate, translated
from mesh.letters import REPLAYED, Letter, LetterFilter, Original, Place, original_of, select
from mesh.logs import get_logger
from mesh.record import RawRecord
from mesh.settings import MeshSettings

_SECONDS = 15.0
_FLUSH = timedelta(seconds=30)


class LetterBox:
    """The dead letters of one installation; used from one thread, no group is joined."""

    def __init__(self, settings: MeshSettings) -> None:
        self._settings = settings
        self._topic = settings.topics("dead-letters")
        self._config = {"bootstrap.servers": settings.kafka_bootstrap}

    def letters(self, wanted: LetterFilter) -> list[Letter]:
        """The wanted letters, oldest first; their bytes are not kept.

        Raises:
            ConfigurationError: A letter was asked for by name, and there is none.
            TransientError: The broker does not answer.
        """
        return select(self._records(wanted.since), wanted)

    def original(self, place: Place, cipher: Cipher) -> Original:
        """The record that a letter was.

        Raises:
            ConfigurationError: There is no such letter, or no key opens it.
            TransientError: The broker does not answer.
        """
        end = place.offset + 1
        for record in self._read(place.partition, place.offset, end):
            if record.offset == place.offset and "origin-topic" in record.headers:
                return original_of(record, cipher)
        raise ConfigurationError(f"no such letter: {place}")

    def replay(self, letters: Sequence[Letter], cipher: Cipher) -> Iterator[Letter]:
        """Publish the originals again, one by one, and note it beside the letters.

        A letter is noted after its original is durable: whoever is cut off in between publishes it
        once more, which every stage bears.

        Raises:
            ConfigurationError: A topic that letters came from does not exist; none was published.
            TransientError: The broker does not acknowledge.
        """
        self.check_origins(letters)
        log = get_logger("deadletters")
        producer = KafkaProducer(
            self._settings.kafka_bootstrap, instance_id=self._settings.instance_id
        )
        for letter in letters:
            original = self.original(letter.place, cipher)
            producer.produce(original.topic, original.key, original.value, original.headers)
            producer.flush(_FLUSH)
            note = {REPLAYED: str(letter.place).encode()}
            producer.produce(self._topic, letter.key, None, note)
            producer.flush(_FLUSH)
            log.info("dead_letter_replayed", **letter.render())
            yield letter

    def check_origins(self, letters: Sequence[Letter]) -> None:
        """Return if every letter can go back to where it came from.

        Raises:
            ConfigurationError: A topic does not exist any more.
        """
        with translated("listing topics"):
            present = AdminClient(dict(self._config)).list_topics(timeout=_SECONDS).topics
        missing = sorted({letter.origin for letter in letters} - present.keys())
        if missing:
            raise ConfigurationError(f"no such topic any more: {', '.join(missing)}")

    def _records(self, since: datetime | None) -> Iterator[RawRecord]:
        with translated("reading dead letters"):
            consumer = self._consumer()
            try:
                topics = consumer.list_topics(self._topic, timeout=_SECONDS).topics
                partitions = sorted(topics[self._topic].partitions)
                spans = [self._span(consumer, partition, since) for partition in partitions]
            finally:
                consumer.close()
        for partition, (first, end) in zip(partitions, spans, strict=True):
            yield from self._read(partition, first, end)

    def _span(self, consumer: Consumer, partition: int, since: datetime | None) -> tuple[int, int]:
        place = VendorPartition(self._topic, partition)
        low, high = consumer.get_watermark_offsets(place, timeout=_SECONDS)
        if since is None:
            return low, high
        millis = int(since.timestamp() * 1000)
        (found,) = consumer.offsets_for_times(
            [VendorPartition(self._topic, partition, millis)], timeout=_SECONDS
        )
        return (found.offset if found.offset >= 0 else high), high

    def _read(self, partition: int, first: int, end: int) -> Iterator[RawRecord]:
        if first >= end:
            return
        with translated("reading dead letters"):
            consumer = self._consumer()
            try:
                consumer.assign([VendorPartition(self._topic, partition, first)])
                yield from self._until(consumer, partition, end)
            finally:
                consumer.close()

    def _until(self, consumer: Consumer, partition: int, end: int) -> Iterator[RawRecord]:
        while True:
            message = consumer.poll(_SECONDS)
            if message is None:
                raise TransientError(f"partition {partition} of {self._topic} does not answer")
            error = message.error()
            if error is not None and error.name() == "_PARTITION_EOF":
                return
            if error is not None:
                raise translate(error, "reading dead letters")
            record = record_of(message)
            if record.offset < end:
                yield record
            if record.offset >= end - 1:
                return

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self._config,
                "group.id": self._settings.group("deadletters"),
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            },
            logger=client_log(),
        )
