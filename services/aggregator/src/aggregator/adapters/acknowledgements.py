"""Records are done in the order they came, each once all that it caused is acknowledged."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aggregator.domain.windows import UNSETTLED
from mesh.ports import WorkerMetrics

_LANE = "recognitions"
_BESIDE = 3
"""Records that wait outside of the queue: at its head, at its tail, and the one in hand."""
IN_FLIGHT = UNSETTLED - _BESIDE
"""Records that may wait for the broker at once."""

Fail = Callable[[BaseException], None]
"""Told of an exception that must end the process."""


class _Pending(NamedTuple):
    outputs: Sequence[Awaitable[object]]
    done: Callable[[], object]
    since: float


class Acknowledgements:
    """Waits for the broker beside the agent, so that the next record need not.

    The order matters: after a rebalance Faust commits past the first offset that it is told of.

    Args:
        fail: Called when an output is refused.
        metrics: Counts records, and how long their outputs took.
    """

    def __init__(self, fail: Fail, metrics: WorkerMetrics) -> None:
        self._fail = fail
        self._metrics = metrics
        self._pending: asyncio.Queue[_Pending] = asyncio.Queue(IN_FLIGHT)
        self._task: asyncio.Task[None] | None = None

    async def put(self, outputs: Sequence[Awaitable[object]], done: Callable[[], object]) -> None:
        """Call `done` once these outputs and all before them are acknowledged."""
        if self._task is None:
            self._task = watched(self._run(), self._fail)
        self._metrics.consumed(_LANE, 1)
        await self._pending.put(_Pending(outputs, done, time.monotonic()))

    async def _run(self) -> None:
        while True:
            pending = await self._pending.get()
            await asyncio.gather(*pending.outputs)
            pending.done()
            self._metrics.processed(1, time.monotonic() - pending.since)


def watched(work: "Awaitable[None]", fail: Fail) -> "asyncio.Task[None]":
    """A task whose exception is reported, never lost."""

    async def run() -> None:
        await work

    def report(task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            fail(error)

    task = asyncio.ensure_future(run())
    task.add_done_callback(report)
    return task
