"""The edge to confluent-kafka: its messages, errors and partitions in our words."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    Message,
)
from confluent_kafka import TopicPartition as VendorPartition

from mesh.errors import ConfigurationError, MeshError, RejectedRecordError, TransientError
from mesh.ports import StoredOffset
from mesh.record import RawRecord, Record, TopicPartition

MAX_RECORD_BYTES = 2 * 1024 * 1024
"""Largest record on any topic but the dead letters."""
MAX_LETTER_BYTES = 2 * MAX_RECORD_BYTES
"""Largest dead letter: encryption makes the original a third longer."""

_MISCONFIGURED = frozenset(
    {
        "CLUSTER_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "INVALID_TOPIC_EXCEPTION",
        "SASL_AUTHENTICATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED",
        "UNKNOWN_TOPIC_OR_PART",
        "_AUTHENTICATION",
        "_UNKNOWN_PARTITION",
        "_UNKNOWN_TOPIC",
    }
)


def translate(error: KafkaError, doing: str) -> MeshError:
    """The failure in our terms: misconfigured, too large, fatal or passing."""
    message = f"{doing}: {error.str()} ({error.name()})"
    if error.name() in _MISCONFIGURED:
        return ConfigurationError(message)
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return RejectedRecordError(message)
    return MeshError(message) if error.fatal() else TransientError(message)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the binding's exceptions as ours."""
    try:
        yield
    except KafkaException as error:
        raise translate(error.args[0], doing) from error


def record_of(message: Message) -> RawRecord:
    """A message as a record."""
    kind, millis = message.timestamp()
    stamped = kind != TIMESTAMP_NOT_AVAILABLE
    key = message.key()
    return Record(
        topic=str(message.topic()),
        partition=_number(message.partition()),
        offset=_number(message.offset()),
        key=key.decode("utf-8", "replace") if isinstance(key, bytes) else key,
        event=message.value(),
        headers={name: _bytes(value) for name, value in message.headers() or ()},
        timestamp=datetime.fromtimestamp(millis / 1000, UTC) if stamped else None,
    )


def vendor_partitions(partitions: Collection[TopicPartition]) -> list[VendorPartition]:
    """Partitions as the binding wants them."""
    return [VendorPartition(topic, number) for topic, number in partitions]


def vendor_offsets(offsets: Mapping[TopicPartition, StoredOffset]) -> list[VendorPartition]:
    """Offsets as the binding wants them."""
    return [
        VendorPartition(source.topic, source.partition, stored.offset, stored.metadata)
        for source, stored in offsets.items()
    ]


def our_partitions(partitions: Collection[Any]) -> list[TopicPartition]:
    """Partitions as the binding hands them out."""
    return [TopicPartition(each.topic, each.partition) for each in partitions]


def our_offsets(partitions: Collection[Any]) -> dict[TopicPartition, StoredOffset]:
    """Offsets as the binding hands them out, without those that are none."""
    return {
        TopicPartition(each.topic, each.partition): StoredOffset(each.offset, each.metadata or "")
        for each in partitions
        if each.offset >= 0 and each.offset != OFFSET_INVALID
    }


def _number(value: int | None) -> int:
    return -1 if value is None else value


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
