"""Following whole topics without a group: compacted tables and gateways."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from math import inf
from typing import Any, Literal

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, Message
from confluent_kafka import Consumer as VendorConsumer
from confluent_kafka import TopicPartition as VendorPartition

from mesh.clock import Clock, SystemClock
from mesh.errors import ConfigurationError, RejectedRecordError, TransientError
from mesh.kafka.client_log import client_log
from mesh.kafka.stranded import KnownBrokers, abandon
from mesh.kafka.vendor import MAX_LETTER_BYTES, record_of, translate, translated
from mesh.logs import handling
from mesh.ports import Codec
from mesh.record import RawRecord, Record, TopicPartition
from mesh.retry import RetryPolicy
from mesh.settings import MeshSettings

_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.2
_BATCH = 500
_END_OF_PARTITION = "_PARTITION_EOF"
_log = logging.getLogger(__name__)


class KafkaTail:
    """Reads every partition of some topics, from the beginning or from now on, and never commits.

    `caught_up` is set once everything that was there at the start has been handled, however much
    comes meanwhile. An undecodable record is logged and passed over: whoever owns the topic's group
    writes the dead letter.
    """

    def __init__(
        self,
        settings: MeshSettings,
        codec: Codec,
        *,
        topics: Sequence[str],
        start: Literal["beginning", "end"] = "beginning",
        decodes: Callable[[RawRecord], bool] = lambda _: True,
        clock: Clock | None = None,
    ) -> None:
        """Take what to read; nothing is contacted yet.

        Args:
            settings: where the broker is, and who reads.
            codec: makes events of values.
            topics: full names.
            start: where to begin.
            decodes: whether a record is worth its decoding; the others are handed over with the
                bytes of their value as event.
            clock: for the pauses between attempts.
        """
        self.caught_up = threading.Event()
        self._settings = settings
        self._codec = codec
        self._topics = topics
        self._start = start
        self._decodes = decodes
        self._clock = clock or SystemClock()
        self._retry = RetryPolicy(maximum=timedelta(seconds=5), attempts=None)
        self._known = KnownBrokers()
        self._begun: list[VendorPartition] = []

    def run(self, handle: Callable[[Record[Any]], None], stop: threading.Event) -> None:
        """Hand over every record, a tombstone with the event `None`, until `stop` is set.

        Blocks; the broker may be away at any time, also at the start.

        Raises:
            ConfigurationError: a topic does not exist, or the broker refuses this client.
        """
        consumer = self._consumer()
        try:
            behind = self._assign(consumer, stop)
            while not stop.is_set():
                if self._known.none_left:
                    consumer = self._anew(consumer)
                self._note_progress(behind)
                for message in self._poll(consumer):
                    self._take(message, handle, behind, stop)
        finally:
            consumer.close()

    def _consumer(self) -> VendorConsumer:
        self._known = KnownBrokers()
        return VendorConsumer(
            {
                **self._known.settings,
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "client.id": self._settings.instance_id,
                "group.id": f"tail-{uuid.uuid4()}",  # required by the client, never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 500,
                "fetch.message.max.bytes": MAX_LETTER_BYTES,
                "queued.max.messages.kbytes": 16_384,
            },
            logger=client_log(),
        )

    def _anew(self, old: VendorConsumer) -> VendorConsumer:
        """Go on with a new client where the old one, which knows no broker any more, was."""
        _log.warning("a client that follows %s knows no broker: replaced", self._topics)
        with translated("starting to read again"):
            for place, reached in zip(self._begun, old.position(self._begun), strict=True):
                place.offset = reached.offset if reached.offset >= 0 else place.offset
            consumer = self._consumer()
            consumer.assign(self._begun)
        abandon(old.close)
        return consumer

    def _assign(self, consumer: VendorConsumer, stop: threading.Event) -> dict[TopicPartition, int]:
        """Start reading; the present ends that have not been reached yet, by partition."""
        failures = 0
        while not stop.is_set():
            try:
                ends = self._ends(consumer)
                at_end = self._start == "end"
                places = [
                    VendorPartition(*place, end if at_end else OFFSET_BEGINNING)
                    for place, end in ends.items()
                ]
                with translated("starting to read"):
                    consumer.assign(places)
            except TransientError as error:
                failures += 1
                _log.warning("cannot start to follow %s: %s", self._topics, error)
                decision = self._retry.decide(failures)
                self._clock.sleep(decision.delay.total_seconds() if decision else 0.0)
            else:
                self._begun = places
                return {} if at_end else {place: end for place, end in ends.items() if end}
        return {}

    def _ends(self, consumer: VendorConsumer) -> dict[TopicPartition, int]:
        """The offset after the last record of every partition."""
        places = [place for topic in self._topics for place in self._places(consumer, topic)]
        with translated("looking ends up"):
            found = consumer.offsets_for_times(places, _ANSWER_SECONDS)
        for place in found:
            if place.error is not None:
                raise translate(place.error, f"looking the end of {place.topic} up")
        return {_source(place): place.offset for place in found}

    def _places(self, consumer: VendorConsumer, topic: str) -> Iterator[VendorPartition]:
        with translated(f"looking {topic} up"):
            found = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
        if found.error is not None:
            raise translate(found.error, f"looking {topic} up")
        if not found.partitions:
            raise ConfigurationError(f"topic {topic} does not exist; run `mesh topics create`")
        for number in found.partitions:
            yield VendorPartition(topic, number, OFFSET_END)

    def _note_progress(self, behind: Mapping[TopicPartition, int]) -> None:
        if not behind:
            self.caught_up.set()

    def _poll(self, consumer: VendorConsumer) -> Sequence[Message]:
        with translated("following"):
            first = consumer.poll(_POLL_SECONDS)
            return [] if first is None else [first, *consumer.consume(_BATCH, 0)]

    def _take(
        self,
        message: Message,
        handle: Callable[[Record[Any]], None],
        behind: dict[TopicPartition, int],
        stop: threading.Event,
    ) -> None:
        error = message.error()
        if error is not None:
            self._take_error(error, message, behind)
            return
        raw = record_of(message)
        with handling([raw]):
            try:
                event = self._event(raw, stop)
            except RejectedRecordError as rejected:
                _log.error("passed over %s at offset %d: %s", raw.source, raw.offset, rejected)
            else:
                handle(replace(raw, event=event))
        if raw.offset + 1 >= behind.get(raw.source, inf):
            del behind[raw.source]

    def _event(self, raw: RawRecord, stop: threading.Event) -> Any:
        if raw.event is None or not self._decodes(raw):
            return raw.event
        return self._decode(raw.topic, raw.event, stop)

    def _decode(self, topic: str, data: bytes, stop: threading.Event) -> Any:
        """The event in a value; waits for the schema registry, if it must, until `stop`."""
        for failures in count(1):
            try:
                return self._codec.decode(topic, data)
            except TransientError as error:
                decision = self._retry.decide(failures)
                if decision is None or stop.is_set():
                    raise RejectedRecordError(f"stopped before it was decoded: {error}") from error
                _log.warning("cannot decode yet: %s", error)
                self._clock.sleep(decision.delay.total_seconds())
        raise AssertionError  # count() does not end

    def _take_error(
        self, error: KafkaError, message: Message, behind: dict[TopicPartition, int]
    ) -> None:
        if error.name() == _END_OF_PARTITION:
            behind.pop(TopicPartition(str(message.topic()), int(message.partition() or 0)), None)
            return
        failure = translate(error, "following")
        if not isinstance(failure, TransientError):
            raise failure
        _log.warning("%s", failure)


def _source(place: VendorPartition) -> TopicPartition:
    return TopicPartition(place.topic, place.partition)
