"""The frame ledger: which captured frame ended how, as sets that only grow (design, section 4).

Entries may come in any order, repeated and cut in any way: the book is the same. Numbers are never
taken out of a set; where two outcomes claim a number, precedence decides when the book is read.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from mesh.events import FrameResult, Lane, LedgerEntry, Outcome
from results.domain.numbers import NumberSet

BLOCK = 4096
"""Sequence numbers per row of the book."""
CAPTURED = "captured"
PRECEDENCE = (Outcome.PROCESSED, Outcome.FAILED, Outcome.SHED, Outcome.LOST)
"""The first that claims a number is its outcome."""
MAX_NUMBERS = 1 << 20
"""Numbers that one entry may name: more than nine hours at 30 frames a second."""
MAX_SEQUENCE = 1 << 62
REJECTED = "rejected"
"""Why a frame failed whose dead letter has no reason for machines."""
_OUTCOMES = frozenset({CAPTURED, *PRECEDENCE})
_FRAME_HEADERS = frozenset({"camera-id", "epoch", "sequence-number", "lane"})
_REASON = re.compile(r"([a-z][a-z0-9_]{0,63})(?::|$)")


class EpochKey(NamedTuple):
    """One connection session of one camera."""

    camera_id: str
    epoch: int


class CellKey(NamedTuple):
    """One row of the book."""

    camera_id: str
    epoch: int
    block: int
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A claim that these frames of one session ended so."""

    session: EpochKey
    lane: str
    outcome: str
    reason: str
    numbers: NumberSet
    at: datetime
    """When it was reported; of a result, when its frame was received."""
    closes: bool = False
    """The source says that no more numbers will come."""
    passed: bool = False
    """The frame went through every stage, in the order of its lane."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The numbers of one block with one outcome and reason, and when they were reported."""

    numbers: NumberSet
    lane: str
    first_at: datetime
    last_at: datetime

    def __or__(self, other: "Cell") -> "Cell":
        return Cell(
            self.numbers | other.numbers,
            min(self.lane, other.lane),
            min(self.first_at, other.first_at),
            max(self.last_at, other.last_at),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of an epoch: how far it got, when it was seen, whether it is closed."""

    highest: int
    lane: str
    first_at: datetime
    last_at: datetime
    closed_at: datetime | None
    """When its source closed it."""
    through: int = -1
    """The highest number that went through every stage."""
    through_at: datetime | None = None
    """When the newest frame was received that went through every stage."""

    def __or__(self, other: "Session") -> "Session":
        closings = [at for at in (self.closed_at, other.closed_at) if at is not None]
        passed = [at for at in (self.through_at, other.through_at) if at is not None]
        return Session(
            max(self.highest, other.highest),
            min(self.lane, other.lane),
            min(self.first_at, other.first_at),
            max(self.last_at, other.last_at),
            min(closings, default=None),
            max(self.through, other.through),
            max(passed, default=None),
        )


@dataclass(frozen=True, slots=True)
class Book:
    """The ledger as far as it was read."""

    cells: Mapping[CellKey, Cell]
    sessions: Mapping[EpochKey, Session]

    def __or__(self, other: "Book") -> "Book":
        cells = dict(self.cells)
        for key, cell in other.cells.items():
            cells[key] = cells[key] | cell if key in cells else cell
        sessions = dict(self.sessions)
        for session_key, session in other.sessions.items():
            known = sessions.get(session_key)
            sessions[session_key] = known | session if known else session
        return Book(cells, sessions)


def entry_of(event: LedgerEntry) -> Entry:
    """The claim in a ledger record.

    Raises:
        ValueError: a range, the outcome or the size of the entry is out of bounds.
    """
    if event.outcome not in _OUTCOMES:
        raise ValueError(f"outcome must be one of {sorted(_OUTCOMES)}, not {event.outcome!r}")
    for part in event.ranges:
        if not 0 <= part.first <= part.last < MAX_SEQUENCE:
            raise ValueError(f"ranges: bad range {part.first}..{part.last}")
    numbers = NumberSet.of((r.first, r.last + 1) for r in event.ranges)
    if len(numbers) > MAX_NUMBERS:
        raise ValueError(f"ranges name {len(numbers)} numbers, limit {MAX_NUMBERS}")
    return Entry(
        session=EpochKey(event.camera_id, event.epoch),
        lane=str(event.lane),
        outcome=str(event.outcome),
        reason=event.reason or "",
        numbers=numbers,
        at=event.reported_at,
        closes=event.closes_epoch,
    )


def entry_of_result(result: FrameResult) -> Entry:
    """The claim that a frame's result makes."""
    frame = result.frame
    return Entry(
        session=EpochKey(frame.camera_id, frame.epoch),
        lane=str(frame.lane),
        outcome=str(result.outcome),
        reason="" if result.outcome is Outcome.PROCESSED else result.reason or "",
        numbers=NumberSet.single(frame.sequence_number),
        at=frame.received_timestamp,
        passed=True,
    )


def entry_of_dead_letter(headers: Mapping[str, bytes], at: datetime) -> Entry | None:
    """The claim that a dead letter makes: its frame failed; nothing if it names no frame.

    Args:
        headers: Of the dead letter; they name the frame if its envelope was readable.
        at: When the letter was written, UTC.

    Raises:
        ValueError: the headers are none of ours.
    """
    if not headers.keys() >= _FRAME_HEADERS:
        return None
    camera_id, lane = (_header(headers, name) for name in ("camera-id", "lane"))
    epoch, number = (int(_header(headers, name)) for name in ("epoch", "sequence-number"))
    if not 0 <= number < MAX_SEQUENCE or not 0 <= epoch < 1 << 63 or lane not in list(Lane):
        raise ValueError(f"no frame: {camera_id} {epoch} {number} {lane}")
    word = _REASON.match(_header(headers, "reason") if "reason" in headers else "")
    return Entry(
        session=EpochKey(camera_id, epoch),
        lane=lane,
        outcome=str(Outcome.FAILED),
        reason=word[1] if word else REJECTED,
        numbers=NumberSet.single(number),
        at=at,
    )


def _header(headers: Mapping[str, bytes], name: str) -> str:
    text = headers[name].decode()
    if not text.isprintable():
        raise ValueError(f"{name} is not printable")
    return text


def fold(entries: Iterable[Entry]) -> Book:
    """The book that these entries make."""
    cells: dict[CellKey, Cell] = {}
    sessions: dict[EpochKey, Session] = {}
    for entry in entries:
        for block, numbers in entry.numbers.blocks(BLOCK):
            key = CellKey(*entry.session, block, entry.outcome, entry.reason)
            cell = Cell(numbers, entry.lane, entry.at, entry.at)
            cells[key] = cells[key] | cell if key in cells else cell
        highest = entry.numbers.highest if entry.numbers else -1
        session = Session(
            highest,
            entry.lane,
            entry.at,
            entry.at,
            entry.at if entry.closes else None,
            highest if entry.passed else -1,
            entry.at if entry.passed else None,
        )
        known = sessions.get(entry.session)
        sessions[entry.session] = known | session if known else session
    return Book(cells, sessions)


def first_results(
    results: Iterable[FrameResult], claimed: Mapping[EpochKey, NumberSet]
) -> list[FrameResult]:
    """The results that are the first of their frame, in order; a correction is never one of them.

    Args:
        results: Processed results and corrections as they were read.
        claimed: The numbers that earlier batches have claimed as processed.
    """
    seen: set[tuple[EpochKey, int]] = set()
    winners = []
    for result in results:
        session = EpochKey(result.frame.camera_id, result.frame.epoch)
        number = result.frame.sequence_number
        taken = number in claimed.get(session, NumberSet()) or (session, number) in seen
        seen.add((session, number))
        if not taken and result.revision == 0:
            winners.append(result)
    return winners
