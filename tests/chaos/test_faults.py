"""Who must name what is away, and when."""

import pytest
from tests.chaos.faults import Done, unnamed
from tests.chaos.schedule import STAGES, Fault, Kind

BROKER = {name: {"broker": "does not answer"} for name in (*STAGES, "keeper", "gateway")}
BROKER |= {"camera": {"dependencies": "kafka does not answer"}}


def away(kind: Kind, seconds: float, *victims: str, said: dict[str, dict[str, str]]) -> list[str]:
    return unnamed(Fault(kind=kind, seconds=seconds, victims=victims), Done(said=said))


def test_a_broker_that_all_have_named_is_in_order() -> None:
    assert away(Kind.BROKER_AWAY, 30, said=BROKER) == []


@pytest.mark.parametrize("silent", sorted(BROKER))
def test_every_service_must_name_the_broker(silent: str) -> None:
    said = {name: problems for name, problems in BROKER.items() if name != silent}
    word = "kafka" if silent == "camera" else "broker"

    found = away(Kind.BROKER_AWAY, 30, said=said)

    assert found == [f"{silent}'s readiness did not name the {word}"]


def test_one_instance_of_a_service_is_enough() -> None:
    said = {f"{name}-2": problems for name, problems in BROKER.items()}

    assert away(Kind.BROKER_AWAY, 30, said=said) == []


def test_what_is_away_for_a_moment_need_not_be_noticed() -> None:
    assert away(Kind.BROKER_AWAY, 20, said={}) == []


def test_at_a_start_only_the_one_that_starts_must_say_what_it_waits_for() -> None:
    said = {"writer-2": {"broker": "does not answer"}}

    assert away(Kind.BROKER_AWAY_AT_START, 10, "writer-2", said=said) == []
    assert away(Kind.BROKER_AWAY_AT_START, 10, "aggregator", said=said) == [
        "aggregator's readiness did not name the broker"
    ]
    assert away(Kind.REGISTRY_AWAY, 10, "detection", said=said) == [
        "detection's readiness did not name the registry"
    ]
    assert away(Kind.REGISTRY_AWAY, 10, "writer-2", said=said) == []
