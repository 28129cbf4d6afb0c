from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.link_health import ChainPolicy, LinkHealth, LinkState
from mesh.clock import ManualClock

POLICY = ChainPolicy(tolerated=3, first_pause=5.0, longest_pause=12.0, lately=60.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> LinkHealth:
    return LinkHealth(POLICY, clock)


def test_a_new_link_is_available_and_asked(health: LinkHealth) -> None:
    assert (health.state, health.admit(), health.usable) == (LinkState.AVAILABLE, True, True)
    assert not health.asks_for_rebuild


def test_a_failure_degrades_a_link_for_a_while(health: LinkHealth, clock: ManualClock) -> None:
    health.refused()
    assert (health.state, health.admit()) == (LinkState.DEGRADED, True)
    clock.advance(59.9)
    before = health.state
    clock.advance(0.1)
    assert (before, health.state) == (LinkState.DEGRADED, LinkState.AVAILABLE)


def test_failures_in_a_row_make_a_link_fail_but_not_failures_in_between(health: LinkHealth) -> None:
    health.refused()
    health.refused()
    health.answered()
    health.refused()
    health.refused()
    assert health.state is LinkState.DEGRADED
    health.refused()
    assert (health.state, health.admit(), health.usable) == (LinkState.FAILED, False, False)


def test_one_call_that_hangs_is_enough(health: LinkHealth) -> None:
    health.broke()
    assert (health.state, health.admit()) == (LinkState.FAILED, False)


def test_a_failed_link_asks_to_be_built_anew_after_its_pause(
    health: LinkHealth, clock: ManualClock
) -> None:
    health.broke()
    clock.advance(4.9)
    assert not health.asks_for_rebuild
    clock.advance(0.1)
    assert health.asks_for_rebuild
    health.built()
    assert not health.asks_for_rebuild


def test_a_link_that_was_built_anew_is_probed_by_one_call_only(health: LinkHealth) -> None:
    health.broke()
    health.built()
    assert (health.state, health.usable) == (LinkState.FAILED, True)
    assert [health.admit(), health.admit()] == [True, False]
    health.answered()
    assert (health.state, health.admit()) == (LinkState.DEGRADED, True)


def test_a_probe_that_fails_doubles_the_pause_up_to_its_limit(
    health: LinkHealth, clock: ManualClock
) -> None:
    pauses = []
    for fail in (health.broke, health.refused, health.broke, health.broke):
        fail()
        pauses.append(health.rests_until - clock.monotonic())
        clock.advance(pauses[-1])
        health.built()
        assert health.admit()
    assert pauses == [5.0, 10.0, 12.0, 12.0]
    health.answered()
    health.broke()
    assert health.rests_until - clock.monotonic() == 5.0


def test_a_probe_that_proved_nothing_may_be_repeated(health: LinkHealth) -> None:
    health.undecided()
    assert health.state is LinkState.AVAILABLE
    health.broke()
    health.built()
    assert health.admit()
    health.undecided()
    assert health.admit()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ChainPolicy(tolerated=0),
        lambda: ChainPolicy(max_abandoned=-1),
        lambda: ChainPolicy(first_pause=0.0),
        lambda: ChainPolicy(first_pause=9.0, longest_pause=8.0),
        lambda: ChainPolicy(lately=0.0),
        lambda: ChainPolicy(tolerated_alone=0),
        lambda: ChainPolicy(longest_start=0.0),
    ],
)
def test_an_impossible_policy_is_refused(wrong: Callable[[], ChainPolicy]) -> None:
    with pytest.raises(ValueError, match="must"):
        wrong()


_EVENTS = st.lists(
    st.sampled_from(["answered", "refused", "broke", "built", "undecided", "admit", "wait"]),
    max_size=60,
)


@given(events=_EVENTS)
def test_whatever_happens_a_failed_link_can_recover(events: list[str]) -> None:
    clock = ManualClock()
    health = LinkHealth(POLICY, clock)
    for event in events:
        if event == "wait":
            clock.advance(3.0)
        else:
            getattr(health, event)()
    clock.advance(POLICY.longest_pause)
    if health.state is LinkState.FAILED:
        assert health.asks_for_rebuild or health.usable
        health.built()
        assert health.admit()
        health.answered()
    clock.advance(POLICY.lately)
    assert (health.state, health.admit()) == (LinkState.AVAILABLE, True)
