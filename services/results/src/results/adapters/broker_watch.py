"""Whether the broker answers, for the readiness of the roles that no client waits for."""

from collections.abc import Callable
from functools import partial

from mesh.dependencies import Dependencies
from mesh.health import Check
from mesh.process import Process


def broker_watch(process: Process, ask: Check) -> Callable[[], None]:
    """A loop that asks until the process stops; readiness gets the check `broker`.

    A consumer takes a broker that is away for one that has nothing, and a job that needs it waits
    for its next round: neither tells.
    """
    watch = Dependencies({"broker": ask})
    process.health.ready |= watch.checks
    return partial(watch.run, process.stop)
