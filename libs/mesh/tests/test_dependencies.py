"""Readiness names what is away."""

import threading

from typing_extensions import override

from mesh.dependencies import broker_watch
from mesh.health import Health


class Twice(threading.Event):
    """Set once it was waited for twice."""

    waits = 0

    @override
    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        if self.waits % 2 == 0:
            self.set()
        return self.is_set()


def test_a_broker_that_is_silent_is_named_until_it_answers() -> None:
    answers: list[str | None] = ["no answer", "no answer", "no answer", None]
    health, stop = Health(), Twice()
    watch = broker_watch(health, lambda: answers.pop(0))
    check = health.ready["broker"]
    assert check() is None
    watch.run(stop)
    assert check() == "no answer"
    stop.clear()
    watch.run(stop)
    assert check() is None
