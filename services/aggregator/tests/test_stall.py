from collections.abc import Callable, Mapping

import pytest

from aggregator.adapters.stall import STALL, StallWatch
from mesh.clock import ManualClock
from mesh.errors import TransientError
from mesh.kafka.standstill import Bounds, Standstill
from mesh.record import TopicPartition

ONE, TWO = TopicPartition("recognitions", 1), TopicPartition("recognitions", 2)
LIMIT = 60
ASKED_WITHIN = 12
"""The broker is asked every ten seconds, and looked after every second."""


class World:
    """A broker with two partitions, and the watch of their owner."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.bounds: Bounds = {ONE: (0, 5), TWO: (0, 800)}
        self.away = False
        self.told: list[str] = []
        standstill = Standstill(self.ask, self.clock, STALL, start=self.start)
        self.watch = StallWatch(standstill, lambda error: self.told.append(str(error)))
        self.slow: list[Callable[[], None]] | None = None

    def ask(self) -> Bounds:
        if self.away:
            raise TransientError("no answer")
        return self.bounds

    def start(self, act: Callable[[], None]) -> None:
        if self.slow is None:
            act()
        else:
            self.slow.append(act)

    def turn(self, seconds: int, committed: Mapping[TopicPartition, int | None]) -> list[str]:
        """What the watch has said after so many looks, one a second."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.watch.look(committed)
        return self.told


@pytest.fixture
def world() -> World:
    return World()


def test_an_offset_that_stands_still_before_the_end_ends_the_process(world: World) -> None:
    assert not world.turn(LIMIT, {ONE: 5, TWO: 736})

    told = world.turn(ASKED_WITHIN, {ONE: 5, TWO: 736})

    assert told[0].startswith("not moving: recognitions/2 (64 records wait, ")


def test_a_partition_without_any_commit_may_stall_too(world: World) -> None:
    assert world.turn(LIMIT + ASKED_WITHIN, {TWO: None})


def test_an_offset_that_moves_is_none(world: World) -> None:
    for offset in range(100):
        assert not world.turn(30, {TWO: offset})


def test_what_was_deleted_is_not_waited_for(world: World) -> None:
    world.bounds = {TWO: (800, 800)}
    assert not world.turn(10 * LIMIT, {TWO: 736})


def test_a_partition_that_reached_its_end_starts_anew(world: World) -> None:
    assert not world.turn(LIMIT, {TWO: 736})
    assert not world.turn(1, {TWO: 800})
    assert not world.turn(LIMIT, {TWO: 736})


def test_time_in_which_something_was_in_the_way_does_not_count(world: World) -> None:
    assert not world.turn(LIMIT, {TWO: 736})
    assert not world.turn(1, {})
    assert not world.turn(LIMIT, {TWO: 736})


def test_time_without_the_broker_does_not_count_and_its_return_starts_the_clock_anew(
    world: World,
) -> None:
    assert not world.turn(LIMIT, {TWO: 736})
    world.away = True
    assert not world.turn(10 * LIMIT, {TWO: 736})
    world.away = False
    assert not world.turn(LIMIT, {TWO: 736})

    assert world.turn(ASKED_WITHIN, {TWO: 736})


def test_time_in_which_an_answer_is_awaited_does_not_count(world: World) -> None:
    assert not world.turn(LIMIT, {TWO: 736})
    world.slow = []
    assert not world.turn(10 * LIMIT, {TWO: 736})
    (silent,) = world.slow
    world.slow, world.away = None, True
    silent()
    world.away = False
    assert not world.turn(LIMIT, {TWO: 736})

    assert world.turn(ASKED_WITHIN, {TWO: 736})


def test_a_process_that_slept_does_not_blame_its_partitions(world: World) -> None:
    assert not world.turn(30, {TWO: 736})
    world.clock.advance(10 * LIMIT)
    assert not world.turn(1, {TWO: 736})
