"""A member of a consumer group on a real broker."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaException, Message
from confluent_kafka import Consumer as VendorConsumer
from confluent_kafka import TopicPartition as VendorPartition

from mesh.errors import TransientError
from mesh.kafka.bounded import within
from mesh.kafka.client_log import client_log
from mesh.kafka.stranded import KnownBrokers, abandon, broker_answers
from mesh.kafka.vendor import (
    our_offsets,
    our_partitions,
    record_of,
    translate,
    translated,
    vendor_offsets,
    vendor_partitions,
)
from mesh.ports import PartitionsChanged, StoredOffset
from mesh.record import RawRecord, TopicPartition

_log = logging.getLogger(__name__)
_NOTHING_STORED = "_NO_OFFSET"
_TURN_BYTES = 1024 * 1024
"""What one partition may give per fetch, so that a full one does not keep the others waiting; a
larger record still comes alone."""
HEARTBEATS = 4
"""So many in a session time-out; at its next one a member hears of a rebalance."""


class KafkaConsumer:
    """Reads with cooperative rebalancing; only what `store` was given is ever committed.

    A new group starts at the earliest record: `auto.offset.reset` is explicit, so that nothing is
    skipped in silence. Rebalance callbacks run inside `poll_batch`. A client that knows no broker
    any more (`mesh.kafka.stranded`) is replaced there, after its partitions were told to be lost.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        *,
        instance_id: str,
        session_timeout: timedelta = timedelta(seconds=10),
        answer_timeout: timedelta = timedelta(seconds=10),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the addresses and the group; `config` overrides what librdkafka is told.

        A commit fails after `answer_timeout`, and closing goes on without the broker.
        """
        milliseconds = int(session_timeout.total_seconds() * 1000)
        self._broker = {"bootstrap.servers": bootstrap, "client.id": instance_id}
        self._config = {
            **self._broker,
            "group.id": group,
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 500,
            "enable.auto.offset.store": False,
            "session.timeout.ms": milliseconds,
            "heartbeat.interval.ms": milliseconds // HEARTBEATS,
            "max.poll.interval.ms": max(300_000, milliseconds),
            "fetch.wait.max.ms": 500,
            "fetch.error.backoff.ms": 100,
            "fetch.message.max.bytes": _TURN_BYTES,
            "fetch.queue.backoff.ms": 20,
            "queued.max.messages.kbytes": 4 * _TURN_BYTES // 1024,
            **(config or {}),
        }
        self._answer_seconds = answer_timeout.total_seconds()
        self._closed = False
        self._in_callback = False
        self._join: Callable[[], None] = lambda: None
        self._on_lost: PartitionsChanged = lambda _: None
        self._known = KnownBrokers()
        self._vendor = self._client()

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: PartitionsChanged,
        on_revoke: PartitionsChanged,
        on_lost: PartitionsChanged,
    ) -> None:
        """Join the group for these topics; the callbacks name only what changed."""

        def assign(partitions: Collection[TopicPartition]) -> None:
            self.resume(partitions)  # librdkafka remembers a pause beyond its assignment
            on_assign(partitions)

        def join() -> None:
            self._vendor.subscribe(
                list(topics),
                on_assign=self._calling(assign),
                on_revoke=self._calling(on_revoke),
                on_lost=self._calling(on_lost),
            )

        self._join, self._on_lost = join, on_lost
        join()

    def poll_batch(self, max_records: int, max_wait: timedelta) -> list[RawRecord]:
        """Up to `max_records`, as soon as there is one; serves heartbeats and callbacks.

        `consume(n, t)` alone would wait for n records or the whole time; hence the first by `poll`.
        """
        if self._known.none_left:
            self._begin_anew()
        with translated("reading"):
            first = self._vendor.poll(max_wait.total_seconds())
            if first is None:
                return []
            more = self._vendor.consume(max_records - 1, 0) if max_records > 1 else []
        return [record for message in (first, *more) for record in _good(message)]

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Hold records of these partitions back until `resume`; polling goes on."""
        with translated("pausing"):
            self._vendor.pause(vendor_partitions(partitions))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Deliver their records again, where `pause` left off."""
        with translated("resuming"):
            self._vendor.resume(vendor_partitions(partitions))

    def store(self, offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        """Note offsets that the next commit, periodic or explicit, will make durable."""
        if offsets:
            with translated("storing offsets"):
                self._vendor.store_offsets(offsets=vendor_offsets(offsets))

    def commit(self, offsets: Mapping[TopicPartition, StoredOffset] | None = None) -> None:
        """Make these offsets durable, or all that are stored; blocks until the broker has them."""
        if offsets is not None and not offsets:
            return
        if offsets is not None:
            self.store(offsets)  # else the client would commit what it has stored over these
        self._bounded(partial(self._commit, offsets), "committing offsets")

    def committed(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, StoredOffset]:
        """What the group committed, with metadata; partitions without a commit are left out."""
        if not partitions:
            return {}
        with translated("reading committed offsets"):
            found = self._vendor.committed(
                vendor_partitions(partitions), timeout=self._answer_seconds
            )
        for each in found:
            if each.error is not None:
                raise translate(each.error, "reading committed offsets")
        return our_offsets(found)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from this offset in an assigned partition."""
        with translated("seeking"):
            self._vendor.seek(VendorPartition(partition.topic, partition.partition, offset))

    def assignment(self) -> Collection[TopicPartition]:
        """The partitions that this member owns now."""
        with translated("reading the assignment"):
            return our_partitions(self._vendor.assignment())

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records behind the end of each owned partition, as far as is known without asking."""
        with translated("reading the lag"):
            behind = {}
            for each in self._vendor.position(self._vendor.assignment()):
                _, end = self._vendor.get_watermark_offsets(each, cached=True)
                if end >= 0 and each.offset >= 0 and each.offset != OFFSET_INVALID:
                    source = TopicPartition(each.topic, each.partition)
                    behind[source] = max(0, end - each.offset)
            return behind

    def answers(self) -> bool:
        """Whether the broker answers within two seconds.

        A new client asks, for this one may be what is wrong.
        """
        return broker_answers(self._broker)

    def close(self, offsets: Mapping[TopicPartition, StoredOffset] | None = None) -> None:
        """Commit these offsets and what is stored, and leave the group; repeatable."""
        if self._closed:
            return
        self._closed = True
        try:
            if offsets:
                self.store(offsets)
            self._bounded(partial(self._leave, offsets), "leaving the group")
        except TransientError as error:  # the broker will find out; the next owner repeats
            _log.warning("%s", error)

    def _client(self) -> VendorConsumer:
        self._known = KnownBrokers()
        return VendorConsumer({**self._config, **self._known.settings}, logger=client_log())

    def _begin_anew(self) -> None:
        """Join with a new client; what the old one has to say from now on is not heard."""
        held, old = self.assignment(), self._vendor
        _log.warning("a client of %s knows no broker: replaced", self._config["group.id"])
        self._vendor = self._client()
        abandon(old.close)
        if held:
            self._on_lost(held)
        self._join()

    def _leave(self, offsets: Mapping[TopicPartition, StoredOffset] | None) -> None:
        try:
            if offsets:
                self._commit(offsets)
        finally:
            self._vendor.close()

    def _commit(self, offsets: Mapping[TopicPartition, StoredOffset] | None) -> None:
        given = {} if offsets is None else {"offsets": vendor_offsets(offsets)}
        with translated("committing offsets"):
            try:
                done = self._vendor.commit(asynchronous=False, **given)
            except KafkaException as error:
                if error.args[0].name() == _NOTHING_STORED:
                    return
                raise
        failed = [each.error for each in done or () if each.error is not None]
        if failed:
            raise translate(failed[0], "committing offsets")

    def _calling(self, changed: PartitionsChanged) -> Callable[[Any, Collection[Any]], None]:
        def call(client: Any, partitions: Collection[Any]) -> None:
            if client is not self._vendor:
                return
            self._in_callback = True
            try:
                changed(our_partitions(partitions))
            finally:
                self._in_callback = False

        return call

    def _bounded(self, action: Callable[[], None], doing: str) -> None:
        """Do it within the time for an answer: librdkafka waits a minute and longer for a broker.

        Not inside a callback: the client then belongs to the thread that polls, and the broker has
        just been heard of.
        """
        if self._in_callback:
            action()
        else:
            within(self._answer_seconds, action, doing)


def _good(message: Message) -> list[RawRecord]:
    """The message as a record; passing errors, which librdkafka retries by itself, are none."""
    error = message.error()
    if error is None:
        return [record_of(message)]
    translated_error = translate(error, "reading")
    if isinstance(translated_error, TransientError):
        _log.warning("%s", translated_error)
        return []
    raise translated_error
