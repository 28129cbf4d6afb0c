from collections.abc import Callable
from threading import Event

import pytest

from mesh.background import Background


def test_background_work_ends_when_it_is_left() -> None:
    ended: list[bool] = []

    def work(stop: Event, warn: Callable[[str], None]) -> None:
        warn("once")
        ended.append(stop.wait(60))

    with Background("recognition", Event()) as background:
        background.start(work)
    assert ended == [True]


def test_background_work_that_fails_stops_everything_and_is_raised() -> None:
    stop = Event()

    def work(stop: Event, warn: Callable[[str], None]) -> None:
        raise LookupError("a bug")

    def wait_for_it() -> None:
        with Background("recognition", stop) as background:
            background.start(work)
            assert stop.wait(60)

    with pytest.raises(LookupError, match="a bug"):
        wait_for_it()


def test_a_failure_of_the_main_loop_is_not_hidden_by_the_background() -> None:
    def work(stop: Event, warn: Callable[[str], None]) -> None:
        raise LookupError("a consequence")

    def fail() -> None:
        with Background("recognition", Event()) as background:
            background.start(work)
            raise RuntimeError("the cause")

    with pytest.raises(RuntimeError, match="the cause"):
        fail()
