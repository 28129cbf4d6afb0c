"""Sets of sequence numbers as ranges."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.sequences import as_ranges


@given(st.lists(st.integers(0, 60)))
def test_ranges_hold_exactly_their_numbers_and_never_touch(numbers: list[int]) -> None:
    ranges = as_ranges(numbers)
    held = [n for item in ranges for n in range(item.first, item.last + 1)]
    assert held == sorted(set(numbers))
    assert all(b.first > a.last + 1 for a, b in pairwise(ranges))
