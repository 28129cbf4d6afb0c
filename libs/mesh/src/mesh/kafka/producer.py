"""Publishing to a real broker, with every acknowledgement."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, Message
from confluent_kafka import Producer as VendorProducer

from mesh.errors import MeshError, TransientError
from mesh.kafka.client_log import client_log
from mesh.kafka.stranded import abandon, is_stranded
from mesh.kafka.vendor import MAX_LETTER_BYTES, translate, translated
from mesh.record import Headers

_FULL_SECONDS = 5.0
_log = logging.getLogger(__name__)

Delivered = Callable[[MeshError | None], None]
"""Told once per record, from inside `poll` or `flush`: acknowledged, or what went wrong."""


class KafkaProducer:
    """acks=all, idempotent, partitioned like Java's and Faust's producers."""

    def __init__(
        self,
        bootstrap: str,
        *,
        instance_id: str,
        delivery_timeout: timedelta = timedelta(seconds=30),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the addresses; `config` overrides what librdkafka is told."""
        self._broker = {"bootstrap.servers": bootstrap, "client.id": instance_id}
        self._config = {
            **self._broker,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 2,
            "topic.metadata.propagation.max.ms": 5000,
            "delivery.timeout.ms": int(delivery_timeout.total_seconds() * 1000),
            "message.max.bytes": MAX_LETTER_BYTES,
            "queue.buffering.max.kbytes": 262_144,
            **(config or {}),
        }
        self._vendor = VendorProducer(self._config, logger=client_log())
        self._failures: list[MeshError] = []
        self._doubtful = self._asking = self._stranded = False

    def produce(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        headers: Headers | None = None,
        *,
        on_delivery: Delivered | None = None,
    ) -> None:
        """Queue a record; a value of `None` is a tombstone. May block while the queue is full.

        A record with its own `on_delivery` reports there, every other one at the next `flush`.

        Raises:
            TransientError: the queue stayed full for five seconds.
            RejectedRecordError: the record is larger than the broker allows.
        """

        def delivered(error: KafkaError | None, _: Message) -> None:
            failure = None if error is None else translate(error, f"publishing to {topic}")
            self._doubtful = isinstance(failure, TransientError)
            if on_delivery is not None:
                on_delivery(failure)
            elif failure is not None:
                self._failures.append(failure)

        arguments = {
            "key": None if key is None else key.encode(),
            "value": value,
            "headers": list((headers or {}).items()),
            "on_delivery": delivered,
        }
        with translated(f"publishing to {topic}"):
            try:
                self._vendor.produce(topic, **arguments)
            except BufferError:
                self._vendor.poll(_FULL_SECONDS)
                self._produce_again(topic, arguments)

    def poll(self, timeout: timedelta = timedelta(0)) -> None:
        """Let `on_delivery` be called for what was acknowledged meanwhile."""
        self._vendor.poll(timeout.total_seconds())
        self._begin_anew_if_stranded()

    def ask(self, timeout: timedelta) -> None:
        """Ask the broker for what it has, only to see whether it answers; from any thread.

        Raises:
            TransientError: it does not.
        """
        with translated("asking the broker"):
            self._vendor.list_topics(timeout=timeout.total_seconds())

    def flush(self, timeout: timedelta) -> None:
        """Wait until everything queued is acknowledged.

        Raises:
            TransientError: something was not; what was queued may be published again.
            MeshError: the broker refuses for good, for example an unknown topic.
        """
        self._begin_anew_if_stranded()
        unsent = self._vendor.flush(timeout.total_seconds())
        failures, self._failures = self._failures, []
        if unsent:
            self._vendor.purge(in_queue=True, in_flight=False)
            self._vendor.poll(0)
            self._failures.clear()
            failures.append(TransientError(f"{unsent} records unacknowledged after {timeout}"))
        self._doubtful |= bool(unsent)
        self._begin_anew_if_stranded()
        lasting = [failure for failure in failures if not isinstance(failure, TransientError)]
        for failure in (*lasting, *failures):
            raise failure

    def _begin_anew_if_stranded(self) -> None:
        """Replace a client that does not find the broker, which answers others.

        Looked into after a failure, by a thread of its own. What the old client had queued fails,
        and may be published again.
        """
        if self._stranded:
            _log.warning("a producer does not find the broker, which answers others: replaced")
            old, self._vendor = self._vendor, VendorProducer(self._config, logger=client_log())
            self._stranded = False
            old.purge()
            old.poll(0)
            abandon(old.close)
        elif self._doubtful and not self._asking:
            self._doubtful, self._asking = False, True
            threading.Thread(target=self._look, name="doubtful producer", daemon=True).start()

    def _look(self) -> None:
        try:
            self._stranded = is_stranded(self._vendor, self._broker)
        finally:
            self._asking = False

    def _produce_again(self, topic: str, arguments: Mapping[str, Any]) -> None:
        try:
            self._vendor.produce(topic, **arguments)
        except BufferError as error:
            raise TransientError(f"publishing to {topic}: the queue stays full") from error
