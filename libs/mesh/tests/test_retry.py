from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.retry import RetryDecision, RetryPolicy

SECOND = timedelta(seconds=1)


def test_delays_double_up_to_the_maximum() -> None:
    policy = RetryPolicy(initial=SECOND, maximum=60 * SECOND, attempts=None, random=lambda: 1.0)
    decisions = [policy.decide(failures) for failures in range(1, 9)]
    assert [each.delay / SECOND for each in decisions if each] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_delay_is_a_random_part_of_its_cap() -> None:
    policy = RetryPolicy(initial=SECOND, random=lambda: 0.25)
    assert policy.decide(2) == RetryDecision(delay=SECOND / 2, failures=2)


def test_the_last_attempt_is_followed_by_none() -> None:
    policy = RetryPolicy(attempts=3)
    assert policy.decide(2) is not None
    assert policy.decide(3) is None


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_the_cap_never_falls_and_no_delay_exceeds_it(first: int, second: int, part: float) -> None:
    policy = RetryPolicy(attempts=None, random=lambda: part)
    low, high = sorted((first, second))
    assert policy.cap(low) <= policy.cap(high) <= policy.maximum
    decision = policy.decide(low)
    assert decision is not None
    assert timedelta(0) <= decision.delay <= policy.cap(low)


def test_a_policy_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(attempts=0)
    with pytest.raises(ValueError, match="initial"):
        RetryPolicy(initial=2 * SECOND, maximum=SECOND)
    with pytest.raises(ValueError, match="failures"):
        RetryPolicy().decide(0)
