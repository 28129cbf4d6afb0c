"""Whether what a process depends on answers, asked in the background."""

import threading
from collections.abc import Callable, Mapping
from functools import partial

from mesh.health import Check, Health

_EVERY_SECONDS = 2.0
_PATIENCE = 2


class Dependencies:
    """Asks each dependency every two seconds; two silences in a row are told."""

    def __init__(self, asked: Mapping[str, Check]) -> None:
        self._asked = dict(asked)
        self._silences = dict.fromkeys(self._asked, 0)
        self._problems: dict[str, str | None] = {}

    @property
    def checks(self) -> Mapping[str, Check]:
        """What readiness should tell, by dependency."""
        return {name: partial(self._problem, name) for name in self._asked}

    def run(self, stop: threading.Event, _: Callable[[str], None] = lambda _: None) -> None:
        """Ask until `stop` is set."""
        while not stop.is_set():
            for name, ask in self._asked.items():
                problem = ask()
                self._silences[name] = self._silences[name] + 1 if problem else 0
                self._problems[name] = problem if self._silences[name] >= _PATIENCE else None
            stop.wait(_EVERY_SECONDS)

    def _problem(self, name: str) -> str | None:
        return self._problems.get(name)


def broker_watch(health: Health, ask: Check) -> Dependencies:
    """Asks whether the broker answers, once it runs; readiness gets the check `broker`.

    A consumer takes a broker that is away for one that has nothing, and a job that needs it waits
    for its next round: neither tells.
    """
    watch = Dependencies({"broker": ask})
    health.ready |= watch.checks
    return watch
