"""Sets of sequence numbers behave like sets."""

from hypothesis import given
from hypothesis import strategies as st

from results.domain.numbers import NumberSet, Range

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6)


def members(pairs: list[Range]) -> set[int]:
    return {number for first, end in pairs for number in range(first, end)}


@given(ranges, ranges)
def test_union_difference_and_intersection_are_those_of_sets(
    left: list[Range], right: list[Range]
) -> None:
    a, b = NumberSet.of(left), NumberSet.of(right)
    assert a | b == NumberSet.of([(n, n + 1) for n in members(left) | members(right)])
    assert a - b == NumberSet.of([(n, n + 1) for n in members(left) - members(right)])
    assert a & b == NumberSet.of([(n, n + 1) for n in members(left) & members(right)])


@given(ranges)
def test_length_and_membership_are_those_of_sets(pairs: list[Range]) -> None:
    numbers = NumberSet.of(pairs)
    assert len(numbers) == len(members(pairs))
    assert {n for n in range(70) if n in numbers} == members(pairs)
    if numbers:
        assert numbers.highest == max(members(pairs))


@given(ranges, st.integers(1, 20))
def test_blocks_cut_a_set_without_loss(pairs: list[Range], size: int) -> None:
    numbers = NumberSet.of(pairs)
    parts = dict(numbers.blocks(size))
    for block, part in parts.items():
        assert part
        assert all(first // size == (end - 1) // size == block for first, end in part.ranges)
    assert NumberSet.of(r for part in parts.values() for r in part.ranges) == numbers


def test_a_single_number_is_a_set_of_one() -> None:
    assert NumberSet.single(7).ranges == ((7, 8),)
