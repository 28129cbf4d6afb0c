"""Taking turns: what is compared runs in one process, in rounds, so that noise meets all alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

Work = Callable[[], object]
Clock = Callable[[], float]
Times = Mapping[str, list[float]]
"""Seconds of one call by name, one value per round."""


class Turns(NamedTuple):
    """What the rounds took."""

    wall: Times
    processor: Times
    """Of all threads of the process: other work on the machine moves it far less."""


def take_turns(
    works: Mapping[str, Work],
    *,
    rounds: int,
    seconds: float,
    clock: Clock = time.perf_counter,
    processor: Clock = time.process_time,
) -> Turns:
    """Run each work in every round, each round in the other direction.

    Args:
        works: what to run, by name; each is run once before anything is measured.
        rounds: how often everybody's turn comes.
        seconds: how long a turn lasts at least; it has one call at least.
        clock: of the wall.
        processor: of the processor.

    Returns:
        For each name the mean seconds of a call in each round.
    """
    for work in works.values():
        work()
    wall: dict[str, list[float]] = {name: [] for name in works}
    spent: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works) if number % 2 == 0 else list(works)[::-1]
        for name in names:
            began = processor()
            calls, taken = _turn(works[name], seconds, clock)
            wall[name].append(taken / calls)
            spent[name].append((processor() - began) / calls)
    return Turns(wall, spent)


def middle(times: Times) -> dict[str, float]:
    """The median call of each, seconds."""
    return {name: median(values) for name, values in times.items()}


def _turn(work: Work, seconds: float, clock: Clock) -> tuple[int, float]:
    """Calls, and the seconds that they took together."""
    began = clock()
    calls = 0
    while True:
        work()
        calls += 1
        taken = clock() - began
        if taken >= seconds:
            return calls, taken
