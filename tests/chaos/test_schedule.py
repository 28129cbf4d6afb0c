"""The schedule is pure: a seed and a number say it all."""

from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.schedule import LONGER, SECONDS, VICTIMS, Kind, fault, schedule, service_of

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


def test_the_broker_is_away_for_minutes_now_and_then() -> None:
    away = [each for _, each in schedule(1, range(20 * len(Kind)), PROCESSES)]
    seconds = [each.seconds for each in away if each.kind is Kind.BROKER_AWAY]

    assert min(seconds) < 60
    assert 2 <= sum(each > 60 for each in seconds) <= 12
    assert max(seconds) > 90


@given(seeds, st.integers(0, 500))
def test_a_fault_names_processes_and_lasts_as_long_as_its_kind_may(seed: int, number: int) -> None:
    found = fault(seed, number, PROCESSES)

    usual = SECONDS.get(found.kind, (0.0, 0.0))
    spans = [usual, LONGER.get(found.kind, usual)]
    assert any(low <= found.seconds <= high for low, high in spans)
    assert found.companion is None or found.companion in PROCESSES
    if found.kind is Kind.KILL_SEVERAL:
        assert 2 <= len(set(found.victims)) <= 5
    assert str(found).startswith(found.kind)
