"""Which faults come in which order: a pure function of a seed, so that a round can be run again.

Round `n` of a seed is the same whether the run began at 0 or at `n`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeVar

from typing_extensions import override

_T = TypeVar("_T")
STAGES = ("camera", "detection", "recognition", "aggregator", "writer")
SERVICES = (*STAGES, "keeper", "gateway")
INFRASTRUCTURE = ("kafka", "registry", "postgres")
COMPANION_SHARE = 0.25
"""Of the rounds in which a service is killed on top of the fault."""


class Kind(StrEnum):
    """Everything that is done to an installation."""

    KILL = "kill"
    KILL_SEVERAL = "kill_several"
    KILL_INFRASTRUCTURE = "kill_infrastructure"
    FREEZE = "freeze"
    TERMINATE = "terminate"
    ROLL = "roll"
    BROKER_AWAY = "broker_away"
    BROKER_AWAY_AT_START = "broker_away_at_start"
    REGISTRY_AWAY = "registry_away"
    DATABASE_AWAY = "database_away"
    OBJECTS_AWAY = "objects_away"
    OBJECTS_FULL = "objects_full"
    LETTERS_UNWRITABLE = "letters_unwritable"
    POISON_RECORD = "poison_record"
    DEADLY_PICTURE = "deadly_picture"
    HANGING_PICTURE = "hanging_picture"


VICTIMS = {
    Kind.KILL: SERVICES,
    Kind.KILL_INFRASTRUCTURE: INFRASTRUCTURE,
    Kind.FREEZE: STAGES,
    Kind.TERMINATE: SERVICES,
    Kind.ROLL: STAGES,
    Kind.BROKER_AWAY_AT_START: STAGES,
    Kind.REGISTRY_AWAY: STAGES,
    Kind.POISON_RECORD: ("detection", "recognition", "aggregator", "writer"),
}
"""Who may be hit, for the faults that hit one service; each in its turn."""

SECONDS = {
    Kind.FREEZE: (8.0, 14.0),
    Kind.BROKER_AWAY: (10.0, 60.0),
    Kind.BROKER_AWAY_AT_START: (8.0, 15.0),
    Kind.REGISTRY_AWAY: (10.0, 20.0),
    Kind.DATABASE_AWAY: (8.0, 30.0),
    Kind.OBJECTS_AWAY: (6.0, 15.0),
    Kind.OBJECTS_FULL: (6.0, 15.0),
    Kind.LETTERS_UNWRITABLE: (8.0, 12.0),
}
"""How long a fault lasts, between two bounds; the others end by themselves."""
LONGER = {Kind.BROKER_AWAY: (60.0, 150.0)}
"""How long it lasts now and then: patience that a shorter one never tries."""
LONGER_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is done in one round.

    Args:
        kind: What.
        victims: To which processes, if it is about processes.
        seconds: How long it lasts; 0 if it ends by itself.
        companion: A service that is killed while the fault lasts, if any.
        variant: A number by which faults that have several forms choose one.
    """

    kind: Kind
    victims: tuple[str, ...] = ()
    seconds: float = 0.0
    companion: str | None = None
    variant: int = 0

    @override
    def __str__(self) -> str:
        """One line of a report."""
        lasting = f" {self.seconds:.0f} s" if self.seconds else ""
        beside = f" + kill {self.companion}" if self.companion else ""
        return f"{self.kind}{lasting} {' '.join(self.victims)}".rstrip() + beside


def fault(seed: int, number: int, processes: Sequence[str]) -> Fault:
    """The fault of a round.

    Every kind comes once in each run of as many rounds as there are kinds, in random order, and
    every victim of a kind in its turn.

    Args:
        seed: Chooses the schedule.
        number: The round, from 0.
        processes: The services' processes, by name: `detection`, `detection-2`, …
    """
    kinds = tuple(Kind)
    deck, place = divmod(number, len(kinds))
    kind = _shuffled(kinds, f"{seed}/kinds/{deck}")[place]
    random = Random(f"{seed}/round/{number}")
    low, high = SECONDS.get(kind, (0.0, 0.0))
    companion = None
    if random.random() < COMPANION_SHARE:
        companion = random.choice(processes)
    victims = _victims(kind, seed, deck, processes, random)
    if kind in LONGER and random.random() < LONGER_SHARE:
        low, high = LONGER[kind]
    return Fault(
        kind=kind,
        victims=victims,
        seconds=round(random.uniform(low, high), 1),
        companion=companion,
        variant=deck,
    )


def schedule(seed: int, rounds: range, processes: Sequence[str]) -> Iterator[tuple[int, Fault]]:
    """The faults of these rounds with their numbers."""
    return ((number, fault(seed, number, processes)) for number in rounds)


def _victims(
    kind: Kind, seed: int, deck: int, processes: Sequence[str], random: Random
) -> tuple[str, ...]:
    if kind is Kind.KILL_SEVERAL:
        return tuple(sorted(random.sample(processes, random.randint(2, min(5, len(processes))))))
    pool = VICTIMS.get(kind, ())
    if not pool:
        return ()
    turn, place = divmod(deck, len(pool))
    victim = _shuffled(pool, f"{seed}/{kind}/{turn}")[place]
    instances = [name for name in processes if service_of(name) == victim]
    if not instances:
        return (victim,)
    return tuple(instances) if kind is Kind.ROLL else (random.choice(instances),)


def service_of(process: str) -> str:
    """The service that a process is an instance of."""
    return process.rpartition("-")[0] if process[-1].isdigit() else process


def _shuffled(items: Sequence[_T], seed: str) -> list[_T]:
    return Random(seed).sample(items, len(items))
