"""Identifiers: what is random, what is derived, and how they look (design, section 3)."""

import secrets
import uuid
from datetime import datetime

_NAMESPACE = uuid.UUID("5f3b7a0e-6f0c-5d0f-9a65-51b7d9f1c0de")
_EPOCH_RANDOM_BITS = 12


def new_id(prefix: str) -> str:
    """A random identifier such as `cam_550e8400-e29b-41d4-a716-446655440000`."""
    return f"{prefix}_{uuid.uuid4()}"


def derived_id(prefix: str, *parts: object) -> str:
    """An identifier that follows from its parts: the same parts give the same identifier."""
    return f"{prefix}_{_uuid5(*parts)}"


def new_epoch(now: datetime) -> int:
    """A connection session's number: start in µs, then 12 random bits; fits 63 bits until 2041.

    Later sessions are greater; two owners of a camera that start in the same microsecond still
    differ but for one case in 4,096.
    """
    return first_epoch(now) | secrets.randbits(_EPOCH_RANDOM_BITS)


def first_epoch(moment: datetime) -> int:
    """The least number of a connection session that begins at this moment."""
    return int(moment.timestamp() * 1_000_000) << _EPOCH_RANDOM_BITS


def frame_key(camera_id: str, epoch: int, sequence_number: int) -> str:
    """The internal identity of a frame: uuid5 of camera, epoch and sequence number."""
    return _uuid5(camera_id, epoch, sequence_number)


def detection_id(key: str, index: int) -> str:
    """The identity of the face or object with this index in the frame."""
    return derived_id("det", key, index)


def is_id(prefix: str, value: str) -> bool:
    """Whether the value is `<prefix>_<uuid>` in canonical form."""
    head, _, tail = value.partition("_")
    try:
        return head == prefix and str(uuid.UUID(tail)) == tail
    except ValueError:
        return False


def _uuid5(*parts: object) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(map(str, parts))))
