"""Records that can never succeed: kept encrypted for people, and limited in number."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mesh.crypto import Cipher
from mesh.errors import DeadLetterLimitError
from mesh.ports import Producer
from mesh.record import Headers, RawRecord, Record, TopicPartition
from mesh.tracing import TRACEPARENT

_REASON_LIMIT = 500
_FRAME_FIELDS = ("camera_id", "epoch", "sequence_number", "frame_key", "lane")
ADDED_HEADERS = frozenset(
    {"origin-topic", "origin-partition", "origin-offset", "reason", "service", "version"}
    | {"tombstone", *(name.replace("_", "-") for name in _FRAME_FIELDS)}
)
"""Headers that a letter has beside those of its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPolicy:
    """How many rejects are bad data; more are a bad deployment.

    Either limit counts only if the rejects have at least `keys` different keys: a single broken
    camera never stops the others.
    """

    keys: int = 3
    """Rejects must concern at least this many keys."""
    in_a_row: int = 50
    """So many rejects without one success between them are too many."""
    ratio: float = 0.5
    """A larger share of rejects among the last `window` records is too much, 0 to 1."""
    window: int = 500
    """Records that the ratio is computed over."""


@dataclass(slots=True)
class DeadLetterLimit:
    """Watches the rejects of one worker."""

    policy: DeadLetterPolicy = field(default_factory=DeadLetterPolicy)
    _row: deque[str | None] = field(init=False)
    _recent: deque[tuple[bool, str | None]] = field(init=False)

    def __post_init__(self) -> None:
        self._row = deque(maxlen=self.policy.in_a_row)
        self._recent = deque(maxlen=self.policy.window)

    def accepted(self, key: str | None) -> None:
        """A record succeeded."""
        self._row.clear()
        self._recent.append((False, key))

    def rejected(self, key: str | None) -> None:
        """A record was rejected.

        Raises:
            DeadLetterLimitError: that makes too many.
        """
        self._row.append(key)
        self._recent.append((True, key))
        if len(self._row) == self.policy.in_a_row and self._spread(self._row):
            raise DeadLetterLimitError(
                f"{len(self._row)} records in a row were rejected, of "
                f"{len(set(self._row))} keys: is this deployment fit for its input?"
            )
        keys = [each for was_rejected, each in self._recent if was_rejected]
        full = len(self._recent) == self.policy.window
        if full and len(keys) > self.policy.ratio * len(self._recent) and self._spread(keys):
            raise DeadLetterLimitError(
                f"{len(keys)} of the last {len(self._recent)} records were rejected, of "
                f"{len(set(keys))} keys: is this deployment fit for its input?"
            )

    def _spread(self, keys: "deque[str | None] | list[str | None]") -> bool:
        return len(set(keys)) >= self.policy.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter as an operator reads it."""

    origin: TopicPartition
    offset: int
    key: str | None
    value: bytes | None
    """The original bytes."""
    reason: str
    service: str
    version: str
    camera_id: str | None
    sequence_number: int | None
    traceparent: str | None


class DeadLetters:
    """Writes dead letters: original bytes, encrypted, with where they come from and why."""

    def __init__(
        self, producer: Producer, cipher: Cipher, *, topic: str, service: str, version: str
    ) -> None:
        self._producer = producer
        self._cipher = cipher
        self._topic = topic
        self._service = service
        self._version = version

    def write(self, record: Record[Any], original: bytes | None, reason: str) -> None:
        """Queue the letter; it is durable after the producer's next flush.

        Args:
            record: The record, decoded as far as that was possible.
            original: Its value as it was read.
            reason: Why it can never succeed; its first word is for machines.

        Raises:
            MeshError: The letter cannot be written; the worker must not go on.
        """
        headers = {
            **record.headers,
            **_known_of(record.event),
            "origin-topic": record.topic.encode(),
            "origin-partition": str(record.partition).encode(),
            "origin-offset": str(record.offset).encode(),
            "reason": _one_line(reason).encode(),
            "service": self._service.encode(),
            "version": self._version.encode(),
        }
        if original is None:
            headers["tombstone"] = b"true"
        self._producer.produce(
            self._topic, record.key, self._cipher.encrypt(original or b""), headers
        )


def read_dead_letter(record: RawRecord, cipher: Cipher) -> DeadLetter:
    """Open a dead letter.

    Raises:
        ConfigurationError: None of the keys opens it.
        ValueError: The record is no dead letter.
    """
    headers = record.headers
    if record.event is None or "origin-topic" not in headers:
        raise ValueError(f"{record.source} at {record.offset} is no dead letter")
    value = cipher.decrypt(record.event)
    return DeadLetter(
        origin=TopicPartition(
            headers["origin-topic"].decode(), int(headers["origin-partition"].decode())
        ),
        offset=int(headers["origin-offset"].decode()),
        key=record.key,
        value=None if "tombstone" in headers else value,
        reason=headers["reason"].decode(),
        service=headers["service"].decode(),
        version=headers["version"].decode(),
        camera_id=_text(headers, "camera-id"),
        sequence_number=int(headers["sequence-number"]) if "sequence-number" in headers else None,
        traceparent=_text(headers, TRACEPARENT),
    )


def _known_of(event: Any) -> dict[str, bytes]:
    """What is known of the frame, for the ledger: nothing if the envelope was unreadable."""
    frame = getattr(event, "frame", None)
    return dict(_headers_of(frame, _FRAME_FIELDS)) if frame is not None else {}


def _headers_of(frame: Any, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name.replace("_", "-"), str(getattr(frame, name)).encode()


def _one_line(reason: str) -> str:
    return re.sub(r"\s+", " ", reason).strip()[:_REASON_LIMIT]


def _text(headers: Headers, name: str) -> str | None:
    return headers[name].decode("utf-8", "replace") if name in headers else None
