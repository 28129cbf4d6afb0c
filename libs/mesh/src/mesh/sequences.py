"""Sets of sequence numbers as the frame ledger wants them."""

from collections.abc import Iterable

from mesh.events import SequenceRange


def as_ranges(numbers: Iterable[int]) -> tuple[SequenceRange, ...]:
    """The fewest ranges, ascending, that hold exactly these numbers."""
    found: list[SequenceRange] = []
    for number in sorted(set(numbers)):
        if found and found[-1].last == number - 1:
            found[-1] = SequenceRange(first=found[-1].first, last=number)
        else:
            found.append(SequenceRange(first=number, last=number))
    return tuple(found)
