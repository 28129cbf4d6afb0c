"""Sets of sequence numbers as ranges."""

from collections.abc import Iterable

from mesh.events import SequenceRange


def as_ranges(numbers: Iterable[int]) -> tuple[SequenceRange, ...]:
    """The fewest ranges that hold exactly these numbers, in order."""
    ranges: list[SequenceRange] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1].last + 1:
            ranges[-1] = SequenceRange(first=ranges[-1].first, last=number)
        else:
            ranges.append(SequenceRange(first=number, last=number))
    return tuple(ranges)
