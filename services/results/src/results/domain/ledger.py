"""The frame ledger: which captured frame ended how, as sets that only grow (design, section 4).

Entries may come in any order, repeated and cut in any way: the book is the same. Numbers are never
taken out of a set; where two outcomes claim a number, precedence decides when the book is read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from mesh.events import FrameResult, LedgerEntry, Outcome
from results.domain.numbers import NumberSet

BLOCK = 4096
"""Sequence numbers per row of the book."""
CAPTURED = "captured"
PRECEDENCE = (Outcome.PROCESSED, Outcome.FAILED, Outcome.SHED, Outcome.LOST)
"""The first that claims a number is its outcome."""
MAX_NUMBERS = 1 << 20
"""Numbers that one entry may name: more than nine hours at 30 frames a second."""
MAX_SEQUENCE = 1 << 62
_OUTCOMES = frozenset({CAPTURED, *PRECEDENCE})


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
    closes: bool = False


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
    """What is known of an epoch: its highest number, when it was seen, whether it is closed."""

    highest: int
    lane: str
    first_at: datetime
    last_at: datetime
    closed_at: datetime | None

    def __or__(self, other: "Session") -> "Session":
        closings = [at for at in (self.closed_at, other.closed_at) if at is not None]
        return Session(
            max(self.highest, other.highest),
            min(self.lane, other.lane),
            min(self.first_at, other.first_at),
            max(self.last_at, other.last_at),
            min(closings, default=None),
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


@dataclass(frozen=True, slots=True)
class Balance:
    """How many captured frames ended how; `open` is what nobody has claimed yet."""

    captured: int
    processed: int
    failed: Mapping[str, int]
    shed: Mapping[str, int]
    lost: Mapping[str, int]
    open: int


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
    )


def fold(entries: Iterable[Entry]) -> Book:
    """The book that these entries make."""
    cells: dict[CellKey, Cell] = {}
    sessions: dict[EpochKey, Session] = {}
    for entry in entries:
        for block, numbers in entry.numbers.blocks(BLOCK):
            key = CellKey(*entry.session, block, entry.outcome, entry.reason)
            cell = Cell(numbers, entry.lane, entry.at, entry.at)
            cells[key] = cells[key] | cell if key in cells else cell
        session = Session(
            entry.numbers.highest if entry.numbers else -1,
            entry.lane,
            entry.at,
            entry.at,
            entry.at if entry.closes else None,
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


def captured_between(book: Book, since: datetime, until: datetime) -> dict[EpochKey, NumberSet]:
    """The numbers to account for, by session, in whole blocks that were reported in a time.

    A session that began after `since` counts from 0, whether or not its first blocks were reported;
    one that was last seen before `until` counts to its highest number.
    """
    found = {}
    for key, session in book.sessions.items():
        if session.first_at >= until or session.last_at < since:
            continue
        blocks = {
            cell_key.block
            for cell_key, cell in book.cells.items()
            if cell_key[:2] == key and cell.last_at >= since and cell.first_at < until
        }
        first = 0 if session.first_at >= since else min(blocks, default=0)
        whole = session.last_at < until
        last = session.highest // BLOCK if whole else max(blocks, default=first)
        found[key] = NumberSet.of(
            [(first * BLOCK, min(session.highest, last * BLOCK + BLOCK - 1) + 1)]
        )
    return found


def balance(book: Book, captured: Mapping[EpochKey, NumberSet]) -> Balance:
    """What became of the captured numbers; every one of them is counted once.

    Args:
        book: The cells of these sessions.
        captured: The numbers to account for, by session.
    """
    counts: dict[str, dict[str, int]] = {outcome: {} for outcome in PRECEDENCE}
    open_count = 0
    for session, numbers in captured.items():
        left = numbers
        for outcome, reason, claimed in _claims(book, session):
            mine = left & claimed
            left = left - mine
            if mine:
                counts[outcome][reason] = counts[outcome].get(reason, 0) + len(mine)
        open_count += len(left)
    return Balance(
        captured=sum(map(len, captured.values())),
        processed=sum(counts[Outcome.PROCESSED].values()),
        failed=counts[Outcome.FAILED],
        shed=counts[Outcome.SHED],
        lost=counts[Outcome.LOST],
        open=open_count,
    )


def _claims(book: Book, session: EpochKey) -> Collection[tuple[str, str, NumberSet]]:
    """Outcome, reason and numbers of a session's cells, by precedence, then by reason."""
    cells = [
        (PRECEDENCE.index(Outcome(key.outcome)), key.reason, cell.numbers)
        for key, cell in book.cells.items()
        if key[:2] == session and key.outcome != CAPTURED
    ]
    cells.sort(key=lambda claim: claim[:2])
    return [(PRECEDENCE[order], reason, numbers) for order, reason, numbers in cells]
