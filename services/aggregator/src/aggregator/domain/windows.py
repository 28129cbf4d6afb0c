"""The first result of a frame wins: which records of a camera have been seen, and at which offset.

A record that the broker delivers again has the offset it had before; a frame that an earlier stage
produced twice has another. The first is emitted again with the same bytes, the second is dropped.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from mesh.events import FrameHeader, StageTime
from mesh.identity import frame_key

STAGE = "aggregator"

WINDOW = 256
"""Records remembered per camera, over all its epochs: many times what is in flight at once."""
UNSETTLED = 72
"""More records than are worked on before the outputs of the first are acknowledged."""

_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Seen(NamedTuple):
    """A frame's first record, and what of its result does not follow from the record itself.

    A plain tuple: a window of them is read and written with every frame.
    """

    epoch: int
    sequence: int
    offset: int
    """Of the first `FrameRecognized` in its partition."""
    started: int
    """When the aggregator took it up, µs since 1970."""
    took: int
    """How long it worked on it, µs."""
    instance_id: str
    """The process that did."""
    poisoned: bool = False
    """The reducer failed on it; its result is `failed(poison)`, now and every other time."""

    @property
    def stage(self) -> StageTime:
        """The aggregator's own entry in the result."""
        started_at = _ZERO + self.started * _MICROSECOND
        return StageTime(
            stage=STAGE,
            instance_id=self.instance_id,
            started_at=started_at,
            ended_at=started_at + self.took * _MICROSECOND,
        )


def first_seen(frame: FrameHeader, offset: int, stage: StageTime) -> Seen:
    """The entry of a frame that is seen for the first time."""
    return Seen(
        epoch=frame.epoch,
        sequence=frame.sequence_number,
        offset=offset,
        started=(stage.started_at - _ZERO) // _MICROSECOND,
        took=(stage.ended_at - stage.started_at) // _MICROSECOND,
        instance_id=stage.instance_id,
    )


class Verdict(Enum):
    """What a record is to its camera's window."""

    FIRST = auto()
    """The first of its frame: state moves, its result is emitted."""
    AGAIN = auto()
    """The very record that came first: state stays, the same bytes are emitted."""
    OTHER = auto()
    """Another record of a frame that has its result: dropped."""
    FORGOTTEN = auto()
    """Older than the window: passed on, moves no state; whoever reads deduplicates by frame_key."""


def judge(seen: Sequence[Seen], frame: FrameHeader, offset: int) -> tuple[Verdict, Seen | None]:
    """What the record is, and the entry of its frame if there is one.

    Args:
        seen: The window of the frame's camera, in the order of arrival.
        frame: Identity of the frame.
        offset: Of the record in its partition.
    """
    for entry in reversed(seen):
        if entry.sequence == frame.sequence_number and entry.epoch == frame.epoch:
            return (Verdict.AGAIN if entry.offset == offset else Verdict.OTHER), entry
    if _is_behind(seen, frame, offset):
        return Verdict.FORGOTTEN, None
    return Verdict.FIRST, None


def _is_behind(seen: Sequence[Seen], frame: FrameHeader, offset: int) -> bool:
    """Whether a record of an unknown frame is older than the newest one.

    A newer epoch is new whatever its offset: a topic that was made anew counts from 0 again.
    """
    return (
        bool(seen)
        and offset < seen[-1].offset
        and frame.epoch <= max(entry.epoch for entry in seen)
    )


def remember(seen: Sequence[Seen], entry: Seen) -> tuple[Seen, ...]:
    """The window with one more entry; the oldest leaves when it is full."""
    return (*seen[-(WINDOW - 1) :], entry)


def unsettled(seen: Sequence[Seen], camera_id: str) -> frozenset[str]:
    """Frame keys of the records whose outputs may not be published yet."""
    return frozenset(
        frame_key(camera_id, entry.epoch, entry.sequence) for entry in seen[-UNSETTLED:]
    )
