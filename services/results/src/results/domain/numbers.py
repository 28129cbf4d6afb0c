"""Sets of sequence numbers as sorted, disjoint, half-open ranges."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Range = tuple[int, int]
"""First number, and the number after the last."""


@dataclass(frozen=True, slots=True)
class NumberSet:
    """A set of whole numbers; two equal sets are equal objects.

    Build it with `of`; the ranges are sorted, not empty, and do not touch.
    """

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> "NumberSet":
        """The union of half-open ranges in any order; empty ones are ignored."""
        merged: list[Range] = []
        for first, end in sorted(r for r in ranges if r[0] < r[1]):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((first, end))
        return cls(tuple(merged))

    @classmethod
    def single(cls, number: int) -> "NumberSet":
        """The set of one number."""
        return cls(((number, number + 1),))

    def __or__(self, other: "NumberSet") -> "NumberSet":
        return NumberSet.of((*self.ranges, *other.ranges))

    def __sub__(self, other: "NumberSet") -> "NumberSet":
        left: list[Range] = []
        cuts = iter(other.ranges)
        cut = next(cuts, None)
        for first, end in self.ranges:
            start = first
            while cut is not None and cut[0] < end:
                if cut[0] > start:
                    left.append((start, cut[0]))
                start = max(start, cut[1])
                if cut[1] > end:
                    break
                cut = next(cuts, None)
            if start < end:
                left.append((start, end))
        return NumberSet(tuple(left))

    def __and__(self, other: "NumberSet") -> "NumberSet":
        return self - (self - other)

    def __contains__(self, number: int) -> bool:
        return any(first <= number < end for first, end in self.ranges)

    def __len__(self) -> int:
        return sum(end - first for first, end in self.ranges)

    @property
    def lowest(self) -> int:
        """The smallest number.

        Raises:
            IndexError: the set is empty.
        """
        return self.ranges[0][0]

    @property
    def highest(self) -> int:
        """The greatest number.

        Raises:
            IndexError: the set is empty.
        """
        return self.ranges[-1][1] - 1

    def blocks(self, size: int) -> "Iterator[tuple[int, NumberSet]]":
        """The parts of the set by block; block n starts at n times `size`."""
        by_block: dict[int, list[Range]] = {}
        for first, end in self.ranges:
            for block in range(first // size, (end - 1) // size + 1):
                part = (max(first, block * size), min(end, (block + 1) * size))
                by_block.setdefault(block, []).append(part)
        for block, ranges in by_block.items():
            yield block, NumberSet(tuple(ranges))
