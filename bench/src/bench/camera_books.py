"""What cameras published, and whether their account of it is whole."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.events import FrameCaptured, LedgerEntry, SequenceRange

Key = tuple[str, int]
"""Camera and epoch."""


class Numbers:
    """A set of numbers that mostly come in order; an hour of them is one range."""

    def __init__(self) -> None:
        self._ranges: list[list[int]] = []

    def add(self, first: int, last: int) -> None:
        """All numbers from the first to the last."""
        if self._ranges and first == self._ranges[-1][1] + 1:
            self._ranges[-1][1] = last
        else:
            self._ranges.append([first, last])

    def all(self) -> set[int]:
        """Every number once."""
        return {number for first, last in self._ranges for number in range(first, last + 1)}


@dataclass(slots=True)
class _Epoch:
    published: Numbers = field(default_factory=Numbers)
    captured: Numbers = field(default_factory=Numbers)
    shed: dict[str, Numbers] = field(default_factory=lambda: defaultdict(Numbers))
    closing: list[SequenceRange] = field(default_factory=list)


class Books:
    """The records of frames beside the ledger; filled by one thread, read by others."""

    def __init__(self) -> None:
        self._epochs: dict[Key, _Epoch] = defaultdict(_Epoch)

    def frame(self, event: FrameCaptured) -> None:
        """A frame was published."""
        header = event.frame
        epoch = self._epochs[header.camera_id, header.epoch]
        epoch.published.add(header.sequence_number, header.sequence_number)

    def entry(self, entry: LedgerEntry) -> None:
        """The ledger was told."""
        epoch = self._epochs[entry.camera_id, entry.epoch]
        if entry.closes_epoch:
            epoch.closing += entry.ranges
        told = epoch.captured if entry.reason is None else epoch.shed[entry.reason]
        for each in entry.ranges:
            told.add(each.first, each.last)

    def open_epochs(self) -> int:
        """Epochs with frames that nobody has closed."""
        return sum(not epoch.closing for epoch in list(self._epochs.values()))

    def balance(self) -> dict[str, Any]:
        """Frames by what became of them; unaccounted ones are captured and neither here nor shed.

        An epoch is also unaccounted for where its closing entry names other numbers than came.
        """
        totals: Counter[str] = Counter(captured=0, published=0, unaccounted=0)
        reasons: Counter[str] = Counter()
        for epoch in list(self._epochs.values()):
            published = epoch.published.all()
            shed = {reason: numbers.all() for reason, numbers in list(epoch.shed.items())}
            captured = epoch.captured.all()
            known = published.union(*shed.values())
            totals["captured"] += len(captured)
            totals["published"] += len(published)
            totals["unaccounted"] += len(captured ^ known) + len(captured ^ _whole(epoch.closing))
            reasons.update({reason: len(numbers) for reason, numbers in shed.items()})
        return {
            **totals,
            "shed": dict(reasons),
            "epochs": len(self._epochs),
            "open_epochs": self.open_epochs(),
        }


def _whole(ranges: Sequence[SequenceRange]) -> set[int]:
    return set(_numbers(ranges))


def _numbers(ranges: Iterable[SequenceRange]) -> Iterable[int]:
    for each in ranges:
        yield from range(each.first, each.last + 1)
