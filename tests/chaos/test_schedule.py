"""The schedule is pure: a seed and a number say it all."""

from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.schedule import SECONDS, VICTIMS, Kind, fault, schedule, service_of

PROCESSES = ("camera", "camera-2", "detection", "detection-2", "gateway", "keeper", "writer")
seeds = st.integers(0, 1 << 62)


@given(seeds, st.integers(0, 500))
def test_a_round_is_the_same_wherever_the_run_began(seed: int, number: int) -> None:
    alone = fault(seed, number, PROCESSES)

    assert dict(schedule(seed, range(number, number + 3), PROCESSES))[number] == alone


@given(seeds, st.integers(0, 20))
def test_every_kind_comes_once_in_each_deck(seed: int, deck: int) -> None:
    size = len(Kind)

    rounds = schedule(seed, range(deck * size, (deck + 1) * size), PROCESSES)

    assert sorted(each.kind for _, each in rounds) == sorted(Kind)


@given(seeds)
def test_every_victim_of_a_kind_has_its_turn(seed: int) -> None:
    decks = len(VICTIMS[Kind.KILL])

    rounds = schedule(seed, range(decks * len(Kind)), PROCESSES)

    killed = {
        service_of(name) for _, each in rounds if each.kind is Kind.KILL for name in each.victims
    }
    assert killed == set(VICTIMS[Kind.KILL])


@given(seeds, st.integers(0, 500))
def test_a_fault_names_processes_and_lasts_as_long_as_its_kind_may(seed: int, number: int) -> None:
    found = fault(seed, number, PROCESSES)

    low, high = SECONDS.get(found.kind, (0.0, 0.0))
    assert low <= found.seconds <= high
    assert found.companion is None or found.companion in PROCESSES
    if found.kind is Kind.KILL_SEVERAL:
        assert 2 <= len(set(found.victims)) <= 5
    assert str(found).startswith(found.kind)
