"""The circuit breaker as a rule over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.clock import ManualClock
from results.domain.breaker import BreakerPolicy, Circuit, CircuitBreaker, Verdict

POLICY = BreakerPolicy(failures=3, timeout_seconds=30, reset_seconds=60)


def a_breaker() -> tuple[CircuitBreaker, ManualClock]:
    clock = ManualClock()
    return CircuitBreaker(POLICY, clock.monotonic), clock


def state_of(breaker: CircuitBreaker) -> str:
    return str(breaker.state)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for number in range(times):
        assert breaker.permit(f"bad-{number}") is None
        breaker.ended(f"bad-{number}", Verdict.FAILURE)


def test_failures_in_a_row_open_it_until_the_reset_time_is_over() -> None:
    breaker, clock = a_breaker()
    fail(breaker, 3)
    assert (breaker.state, breaker.opened) == (Circuit.OPEN, 1)
    assert breaker.permit("next") == 60
    assert breaker.open_for == 60
    clock.advance(59)
    assert breaker.permit("next") == 1
    clock.advance(1)
    assert state_of(breaker) == "half_open"
    assert breaker.open_for is None


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker, _ = a_breaker()
    fail(breaker, 2)
    breaker.permit("good")
    breaker.ended("good", Verdict.SUCCESS)
    fail(breaker, 2)
    assert breaker.state is Circuit.CLOSED


def test_what_was_given_up_in_good_order_counts_for_nothing() -> None:
    breaker, _ = a_breaker()
    fail(breaker, 2)
    breaker.permit("shed")
    breaker.ended("shed", Verdict.UNKNOWN)
    fail(breaker, 1)
    assert breaker.state is Circuit.OPEN


def test_a_request_without_an_answer_fails_after_the_timeout_and_not_before() -> None:
    breaker, clock = a_breaker()
    for number in range(3):
        breaker.permit(f"silent-{number}")
    clock.advance(29)
    assert state_of(breaker) == "closed"
    clock.advance(1)
    assert state_of(breaker) == "open"


def test_a_request_with_more_time_of_its_own_fails_once_that_is_over() -> None:
    breaker, clock = a_breaker()
    for number in range(3):
        breaker.permit(f"patient-{number}", 60)
    clock.advance(59)
    assert state_of(breaker) == "closed"
    clock.advance(1)
    assert state_of(breaker) == "open"


def test_the_impatient_fail_before_the_patient_that_came_first() -> None:
    breaker, clock = a_breaker()
    breaker.permit("patient", 60)
    fail(breaker, 2)
    breaker.permit("impatient", 1)
    clock.advance(30)
    assert breaker.state is Circuit.OPEN
    breaker.ended("patient", Verdict.SUCCESS)
    assert breaker.state is Circuit.OPEN


def test_the_urgent_pass_an_open_circuit_and_do_not_close_it() -> None:
    breaker, clock = a_breaker()
    fail(breaker, 3)
    assert breaker.permit("urgent", urgent=True) is None
    breaker.ended("urgent", Verdict.SUCCESS)
    assert breaker.permit("other") == 60
    clock.advance(60)
    assert breaker.permit("probe", urgent=True) is None
    assert breaker.permit("another", urgent=True) is None
    assert breaker.permit("other") == 30
    breaker.ended("probe", Verdict.SUCCESS)
    assert breaker.state is Circuit.CLOSED


def test_an_answer_after_the_client_left_is_still_a_success() -> None:
    breaker, clock = a_breaker()
    for number in range(3):
        breaker.permit(f"slow-{number}")
        clock.advance(9)
        breaker.ended(f"slow-{number}", Verdict.SUCCESS)
    clock.advance(60)
    assert breaker.state is Circuit.CLOSED


def test_one_probe_goes_through_and_decides() -> None:
    breaker, clock = a_breaker()
    fail(breaker, 3)
    clock.advance(60)
    assert breaker.permit("probe") is None
    assert breaker.permit("other") == 30
    breaker.ended("probe", Verdict.SUCCESS)
    assert breaker.state is Circuit.CLOSED
    assert breaker.permit("other") is None


@pytest.mark.parametrize("silent", [True, False])
def test_a_probe_that_fails_opens_it_again(silent: bool) -> None:
    breaker, clock = a_breaker()
    fail(breaker, 3)
    clock.advance(60)
    breaker.permit("probe")
    if silent:
        clock.advance(30)
    else:
        breaker.ended("probe", Verdict.FAILURE)
    assert (breaker.state, breaker.opened) == (Circuit.OPEN, 2)


def test_a_probe_that_tells_nothing_makes_room_for_another() -> None:
    breaker, clock = a_breaker()
    fail(breaker, 3)
    clock.advance(60)
    breaker.permit("probe")
    breaker.ended("probe", Verdict.UNKNOWN)
    assert breaker.state is Circuit.HALF_OPEN
    assert breaker.permit("another") is None


def test_requests_from_before_the_opening_do_not_close_it() -> None:
    breaker, _ = a_breaker()
    breaker.permit("early")
    fail(breaker, 3)
    breaker.ended("early", Verdict.SUCCESS)
    assert breaker.state is Circuit.OPEN


def test_a_policy_must_make_sense() -> None:
    with pytest.raises(ValueError, match="positive"):
        BreakerPolicy(failures=0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["permit", "end", "wait"]), st.integers(0, 5), st.sampled_from(Verdict)
        )
    )
)
def test_whatever_happens_it_lets_requests_in_again_after_reset_and_timeout(
    steps: list[tuple[str, int, Verdict]],
) -> None:
    breaker, clock = a_breaker()
    for kind, number, verdict in steps:
        if kind == "permit":
            breaker.permit(str(number))
        elif kind == "end":
            breaker.ended(str(number), verdict)
        else:
            clock.advance(number * 10)
    clock.advance(POLICY.timeout_seconds)
    assert breaker.state in set(Circuit)
    clock.advance(POLICY.reset_seconds)
    assert breaker.permit("fresh") is None
