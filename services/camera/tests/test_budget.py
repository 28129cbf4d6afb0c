from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.domain.budget import ConnectionBudget, ConnectionLimits, Place

limits = st.builds(ConnectionLimits, per_host=st.integers(1, 4), together=st.integers(1, 6))
hosts = st.integers(0, 3).map(lambda n: f"host-{n}")


@dataclass
class Crowd:
    """Cameras that queue at a budget."""

    budget: ConnectionBudget
    waiting: list[Place] = field(default_factory=list)
    connecting: list[Place] = field(default_factory=list)

    def ask(self, host: str, *, again: bool = False) -> Place:
        place = self.budget.ask(host, lambda: None, again=again)
        self.waiting.append(place)
        self.look()
        return place

    def end(self, index: int, *, live: bool) -> None:
        """One of those that are connecting is live, or failed."""
        place = self.connecting.pop(index % len(self.connecting))
        if live:
            place.succeeded()
        else:
            place.failed()
        place.leave()
        self.look()

    def give_up(self, index: int) -> None:
        """One of those that wait goes away."""
        self.waiting.pop(index % len(self.waiting)).leave()
        self.look()

    def look(self) -> None:
        self.connecting += [place for place in self.waiting if place.granted]
        self.waiting = [place for place in self.waiting if not place.granted]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), hosts, st.booleans()),
        st.tuples(st.sampled_from(["live", "failed", "give up"]), st.integers(0, 99), st.none()),
    ),
    max_size=120,
)


def take(crowd: Crowd, kind: str, what: str | int, again: bool | None) -> None:
    if isinstance(what, str):
        crowd.ask(what, again=bool(again))
    elif kind == "give up" and crowd.waiting:
        crowd.give_up(what)
    elif kind != "give up" and crowd.connecting:
        crowd.end(what, live=kind == "live")


@given(limits, steps)
def test_never_do_more_connect_at_once_than_allowed(
    allowed: ConnectionLimits, taken: list[tuple[str, str | int, bool | None]]
) -> None:
    crowd = Crowd(ConnectionBudget(allowed))
    for kind, what, again in taken:
        take(crowd, kind, what, again)
        per_host = Counter(place.host for place in crowd.connecting)
        assert len(crowd.connecting) <= allowed.together
        assert all(count <= allowed.per_host for count in per_host.values())


@given(limits, steps, st.booleans())
def test_everybody_gets_a_turn_though_all_attempts_may_fail(
    allowed: ConnectionLimits, taken: list[tuple[str, str | int, bool | None]], live: bool
) -> None:
    crowd = Crowd(ConnectionBudget(allowed))
    for kind, what, again in taken:
        take(crowd, kind, what, again)
    for _ in range(len(crowd.waiting) + len(crowd.connecting)):
        assert crowd.connecting
        crowd.end(0, live=live)
    assert not crowd.waiting


@given(st.integers(1, 4), st.lists(st.booleans(), min_size=1, max_size=30))
def test_of_one_kind_who_asked_first_connects_first(per_host: int, again: list[bool]) -> None:
    crowd = Crowd(ConnectionBudget(ConnectionLimits(per_host=per_host)))
    asked = [(crowd.ask("recorder", again=each), each) for each in again]
    order = list(crowd.connecting)
    while crowd.connecting:
        crowd.end(0, live=True)
        order += [place for place in crowd.connecting if place not in order]
    for kind in (False, True):
        mine = [place for place, each in asked if each is kind]
        assert [place for place in order if place in mine] == mine


def test_a_recorder_with_hundreds_of_cameras_keeps_no_other_waiting() -> None:
    crowd = Crowd(ConnectionBudget())
    for _ in range(500):
        crowd.ask("recorder")
    assert len(crowd.connecting) == 8
    assert crowd.ask("gate").granted


def test_dead_cameras_of_a_host_leave_every_other_turn_to_those_that_were_live() -> None:
    crowd = Crowd(ConnectionBudget(ConnectionLimits(per_host=1)))
    for _ in range(100):
        crowd.ask("recorder", again=True)
    dropped = crowd.ask("recorder")
    crowd.end(0, live=True)
    assert dropped.granted


def test_hosts_that_do_not_answer_leave_half_of_all_turns_to_others() -> None:
    crowd = Crowd(ConnectionBudget(ConnectionLimits(together=4)))
    for host in ("a", "b", "c", "d"):
        for _ in range(3):
            crowd.ask(host)
            crowd.end(-1, live=False)
    for host in ("a", "b", "c", "d"):
        crowd.ask(host, again=True)
    assert len(crowd.connecting) == 2
    assert crowd.ask("e").granted


def test_a_silent_host_is_probed_by_two_and_asked_by_all_once_it_answers() -> None:
    crowd = Crowd(ConnectionBudget())
    for _ in range(3):
        crowd.ask("recorder")
        crowd.end(0, live=False)
    probes = [crowd.ask("recorder", again=True) for _ in range(20)]
    assert len(crowd.connecting) == 2
    assert probes[0].succeeded()
    probes[0].leave()
    crowd.look()
    assert sum(place.granted for place in probes) - 1 == 8
    assert not probes[1].succeeded()


def test_who_failed_while_the_host_answered_others_hears_of_it() -> None:
    budget = ConnectionBudget()
    early, lucky = (budget.ask("recorder", lambda: None) for _ in range(2))
    assert not early.failed()
    lucky.succeeded()
    for place in (lucky, early):
        place.leave()
    assert early.failed()
    assert not budget.ask("recorder", lambda: None).failed()


def test_leaving_twice_frees_one_place() -> None:
    crowd = Crowd(ConnectionBudget(ConnectionLimits(per_host=1)))
    first, second, third = (crowd.ask("recorder") for _ in range(3))
    first.leave()
    first.leave()
    assert second.granted
    assert not third.granted


@pytest.mark.parametrize(("per_host", "together"), [(0, 1), (1, 0)])
def test_a_budget_of_nothing_is_refused(per_host: int, together: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ConnectionLimits(per_host=per_host, together=together)
