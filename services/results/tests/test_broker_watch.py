"""The readiness of writer and keeper names a broker that is away."""

import threading

from typing_extensions import override

from mesh.process import Process
from results.adapters.broker_watch import broker_watch


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
    process = Process("results", stop=Twice())
    watch = broker_watch(process, lambda: answers.pop(0))
    check = process.health.ready["broker"]
    assert check() is None
    watch()
    assert check() == "no answer"
    process.stop.clear()
    watch()
    assert check() is None
