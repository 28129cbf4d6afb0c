"""What the runner does before there is an application."""

import threading
from datetime import timedelta

import faust
from typing_extensions import override

from aggregator.adapters.acknowledgements import Fail
from aggregator.adapters.runner import AppRunner
from mesh.clock import ManualClock
from mesh.health import Heartbeat


class Turns(threading.Event):
    """Set once it was waited for three times."""

    waits = 0

    @override
    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        if self.waits == 3:
            self.set()
        return self.is_set()


class NeverStartedError(Exception):
    """Instead of an application."""


def test_without_a_broker_nothing_starts_and_the_process_stays_alive_until_it_is_stopped() -> None:
    clock, stop = ManualClock(), Turns()
    heartbeat = Heartbeat(clock, limit_seconds=60)

    def away() -> str:
        assert heartbeat.check() is None
        clock.advance(50)
        return "no answer"

    def create(_: Fail) -> faust.App:
        raise NeverStartedError

    runner = AppRunner(
        stop=stop, heartbeat=heartbeat, broker=away, stop_within=timedelta(seconds=1)
    )
    runner.run(create)

    assert stop.waits == 3
    assert runner.readiness() == "not started"
