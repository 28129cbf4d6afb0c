"""What became of captured frames, counted: every number once, by the precedence of its outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mesh.events import Outcome
from results.domain.ledger import CAPTURED, PRECEDENCE, Book, EpochKey
from results.domain.numbers import NumberSet
from results.domain.times import iso

RETENTION = "retention"
"""Lost, because the broker had deleted the record before it was read."""
CRASH = "crash"
"""Lost for any other reason."""
GUESSED = (RETENTION, CRASH)
"""Reasons that a sweep gives; what a source itself says of a lost frame goes before them."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How many captured frames ended how; `open` is what nobody has claimed yet."""

    captured: int = 0
    processed: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    shed: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    open: int = 0

    def __add__(self, other: "Balance") -> "Balance":
        return Balance(
            self.captured + other.captured,
            self.processed + other.processed,
            _sum(self.failed, other.failed),
            _sum(self.shed, other.shed),
            _sum(self.lost, other.lost),
            self.open + other.open,
        )

    @classmethod
    def counted(cls, captured: int, counts: Mapping[tuple[str, str], int]) -> "Balance":
        """The balance of so many captured frames, with counts by outcome and reason."""
        reasons: dict[str, dict[str, int]] = {outcome: {} for outcome in PRECEDENCE}
        for (outcome, reason), count in sorted(counts.items()):
            if count:
                reasons[outcome][reason] = count
        return cls(
            captured=captured,
            processed=sum(reasons[Outcome.PROCESSED].values()),
            failed=reasons[Outcome.FAILED],
            shed=reasons[Outcome.SHED],
            lost=reasons[Outcome.LOST],
            open=captured - sum(counts.values()),
        )

    def render(self) -> dict[str, Any]:
        """As the interface shows it."""
        return {
            "captured": self.captured,
            "processed": self.processed,
            "failed": _total(self.failed),
            "shed": _total(self.shed),
            "lost": _total(self.lost),
            "open": self.open,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochBalance:
    """The balance of one connection session of a source."""

    epoch: int
    lane: str
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    settled: bool
    balance: Balance

    def render(self) -> dict[str, Any]:
        """As the interface shows it; the number is text, because it exceeds 53 bits."""
        return {
            "epoch": str(self.epoch),
            "lane": self.lane,
            "opened_at": iso(self.opened_at),
            "seen_at": iso(self.seen_at),
            "closed_at": iso(self.closed_at),
            "settled": self.settled,
            **self.balance.render(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraBalance:
    """The balance of one camera, in all and per epoch."""

    camera_id: str
    camera_name: str | None
    epochs: Sequence[EpochBalance]
    """The newest first."""

    @property
    def balance(self) -> Balance:
        """Of all its epochs."""
        return sum((each.balance for each in self.epochs), Balance())

    def render(self, most: int) -> dict[str, Any]:
        """As the interface shows it, with the newest epochs."""
        return {
            "camera_id": self.camera_id,
            "camera_name": self.camera_name,
            **self.balance.render(),
            "epochs": [each.render() for each in self.epochs[:most]],
            "epochs_left_out": max(0, len(self.epochs) - most),
        }


def balance(book: Book, captured: Mapping[EpochKey, NumberSet]) -> Balance:
    """What became of the captured numbers; every one of them is counted once.

    Args:
        book: The cells of these sessions.
        captured: The numbers to account for, by session.
    """
    counts: dict[tuple[str, str], int] = {}
    for session, numbers in captured.items():
        left = numbers
        for outcome, reason, claimed in _claims(book, session):
            mine = left & claimed
            left = left - mine
            counts[outcome, reason] = counts.get((outcome, reason), 0) + len(mine)
    return Balance.counted(sum(map(len, captured.values())), counts)


def _claims(book: Book, session: EpochKey) -> list[tuple[str, str, NumberSet]]:
    """Outcome, reason and numbers of a session's cells, by precedence, then by reason."""
    cells = [
        (PRECEDENCE.index(Outcome(key.outcome)), _rank(key.reason), key.reason, cell.numbers)
        for key, cell in book.cells.items()
        if key[:2] == session and key.outcome != CAPTURED
    ]
    cells.sort(key=lambda claim: claim[:3])
    return [(PRECEDENCE[order], reason, numbers) for order, _, reason, numbers in cells]


def _rank(reason: str) -> int:
    return GUESSED.index(reason) + 1 if reason in GUESSED else 0


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    reasons = sorted(one.keys() | other.keys())
    return {reason: one.get(reason, 0) + other.get(reason, 0) for reason in reasons}


def _total(reasons: Mapping[str, int]) -> dict[str, Any]:
    return {"total": sum(reasons.values()), "by_reason": dict(reasons)}
