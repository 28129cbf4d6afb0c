import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from inference.switching import ModelSwitch
from mesh.errors import ConfigurationError, TransientError
from mesh.events import SwitchModel
from mesh.testing import NOON, a_record

TASK = "face-detection"


class World:
    """A service that knows the models a, b and c; c lacks a file."""

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.serving = "a"
        self.news: list[tuple[str, ...]] = []
        self.away = False
        self.after: Callable[[], None] = lambda: None
        self.switch = ModelSwitch(task=TASK, serving="a", prepare=self.prepare, news=self)

    def prepare(self, model_id: str) -> Callable[[], None]:
        if self.away:
            raise TransientError("the database is away")
        if model_id not in {"a", "b"}:
            raise ConfigurationError(f"{model_id} lacks a file")
        self.prepared.append(model_id)

        def commit() -> None:
            self.serving = model_id

        return commit

    def switched(self, command: SwitchModel, before: str) -> None:
        self.news.append(("switched", command.model_id, before))
        self.after()

    def refused(self, command: SwitchModel, serving: str, reason: str) -> None:
        self.news.append(("refused", command.model_id, serving, reason))

    def apply(self) -> None:
        self.switch.apply(threading.Event())

    def command(self, model_id: str, minute: int, task: str = TASK) -> None:
        event = SwitchModel(
            model_id=model_id,
            task=task,
            requested_by="user",
            requested_at=NOON + timedelta(minutes=minute),
        )
        self.switch.take(a_record(event))


def test_the_newest_command_wins_whatever_order_they_come_in() -> None:
    world = World()
    world.command("b", 2)
    world.command("a", 1)
    world.apply()
    assert (world.serving, world.switch.serving) == ("b", "b")
    assert world.news == [("switched", "b", "a")]
    world.apply()
    assert world.prepared == ["b"]


def test_a_model_that_serves_already_is_not_loaded_again() -> None:
    world = World()
    world.command("a", 1)
    world.apply()
    assert (world.prepared, world.news) == ([], [])


def test_a_model_that_cannot_serve_is_refused_once_and_the_old_one_goes_on() -> None:
    world = World()
    world.command("b", 1)
    world.apply()
    world.command("c", 2)
    world.apply()
    world.apply()
    assert world.serving == "b"
    assert world.news[1:] == [("refused", "c", "b", "c lacks a file")]
    world.command("c", 3)
    world.apply()
    assert len(world.news) == 3


def test_after_a_restart_the_newest_command_that_can_be_carried_out_wins() -> None:
    world = World()
    world.command("c", 3)
    world.command("b", 2)
    world.command("a", 1)
    world.apply()
    assert (world.serving, world.news[0][0]) == ("b", "refused")


def test_an_older_command_for_the_same_model_and_a_tombstone_change_nothing() -> None:
    world = World()
    world.command("b", 2)
    world.command("a", 3)
    world.command("b", 1)
    world.switch.take(a_record(None))
    world.apply()
    assert (world.serving, world.news) == ("a", [])


def test_whatever_goes_wrong_while_a_model_is_loaded_refuses_it() -> None:
    world = World()

    def prepare(model_id: str) -> Callable[[], None]:
        raise MemoryError

    world.switch._prepare = prepare
    world.command("b", 1)
    world.apply()
    assert world.news == [("refused", "b", "a", "MemoryError")]


def test_a_model_that_never_loads_does_not_keep_the_service_from_stopping() -> None:
    world, stop, release = World(), threading.Event(), threading.Event()

    def prepare(model_id: str) -> Callable[[], None]:
        stop.set()
        release.wait(60.0)
        return stop.set

    world.switch._prepare = prepare
    world.command("b", 1)
    world.switch.apply(stop)
    release.set()
    assert (world.serving, world.news) == ("a", [])


def test_commands_for_other_tasks_are_none_of_its_business() -> None:
    world = World()
    world.command("b", 1, task="face-recognition")
    world.apply()
    assert world.serving == "a"


def test_what_cannot_be_told_now_is_tried_again() -> None:
    world = World()
    world.away = True
    world.command("b", 1)
    with pytest.raises(TransientError):
        world.apply()
    world.away = False
    world.apply()
    assert world.serving == "b"


def test_at_the_start_the_commands_of_before_are_waited_for() -> None:
    world, caught_up, stop = World(), threading.Event(), threading.Event()
    world.command("b", 1)
    caught_up.set()
    world.switch.settle(caught_up, stop)
    assert world.serving == "b"
    stop.set()
    world.command("a", 2)
    world.switch.settle(threading.Event(), stop)
    assert world.serving == "b"


def test_an_outage_at_the_start_is_waited_for_until_it_is_stopped() -> None:
    world, caught_up, stop = World(), threading.Event(), threading.Event()
    caught_up.set()
    world.command("b", 1)
    calls: list[str] = []

    def prepare(model_id: str) -> Callable[[], None]:
        calls.append(model_id)
        stop.set()
        raise TransientError("away")

    world.switch._prepare = prepare
    world.switch.settle(caught_up, stop)
    assert (calls, world.serving) == (["b"], "a")


def test_it_carries_out_commands_until_it_is_stopped_and_tells_what_delays_them() -> None:
    world, stop, warnings = World(), threading.Event(), list[str]()
    world.away = True
    world.command("b", 1)

    def warn(message: str) -> None:
        warnings.append(message)
        world.away = False

    world.after = stop.set
    world.switch.run(stop, warn)
    assert (warnings, world.serving) == (["the database is away"], "b")
