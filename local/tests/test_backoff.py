from hypothesis import given
from hypothesis import strategies as st

from local.backoff import RestartPolicy

_POLICY = RestartPolicy(first=1.0, longest=60.0, settled=60.0)


def test_the_bound_doubles_up_to_the_longest() -> None:
    assert [_POLICY.bound(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


@given(st.integers(min_value=1, max_value=10_000))
def test_a_wait_is_a_random_part_of_its_bound(failures: int) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    assert _POLICY.wait(failures, uniform=uniform) <= _POLICY.longest
    assert asked == [(0.0, _POLICY.bound(failures))]


def test_a_long_life_forgives_earlier_failures() -> None:
    assert _POLICY.failures(7, lived=59.9) == 8
    assert _POLICY.failures(7, lived=60.0) == 1
