"""Runs a Faust application inside of a process that ends when it should."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import timedelta

import faust

from aggregator.adapters.acknowledgements import Fail
from mesh.errors import MeshError
from mesh.health import Check, Heartbeat
from mesh.logs import get_logger

_TURN_S = 0.2
_LAST_WORDS_S = 10.0
"""After a failure, time to commit what is done; then the process is ended from outside."""


class AppRunner:
    """Starts the application, waits for a reason to stop it, and stops it.

    Faust restarts agents that raised, and its threads can outlive a crash: neither is wanted. Nor
    is its end when there is no broker at its start: that is waited for.

    Args:
        stop: Set when the process is asked to stop.
        heartbeat: Beaten with every turn of the loop.
        broker: What keeps the broker from answering; may block for seconds.
        stop_within: Time to finish what is in hand.
    """

    def __init__(
        self,
        *,
        stop: threading.Event,
        heartbeat: Heartbeat,
        broker: Check,
        stop_within: timedelta,
    ) -> None:
        self._stop = stop
        self._heartbeat = heartbeat
        self._broker = broker
        self._stop_within = stop_within
        self._failure: BaseException | None = None
        self._ready: Callable[[], str | None] = lambda: "not started"

    def fail(self, error: BaseException) -> None:
        """End the process because of this; only the first reason counts."""
        self._failure = self._failure or error

    def readiness(self) -> str | None:
        """What is missing before records are worked on, or nothing."""
        return self._ready()

    def run(self, create: Callable[[Fail], faust.App]) -> None:
        """Run the application, once the broker answers, until the process is to stop.

        Raises:
            Exception: What ended the application before.
        """
        while self._broker() is not None:
            if self._stop.is_set():
                return
            self._heartbeat.beat()
            self._stop.wait(_TURN_S)
        asyncio.run(self._run(create))

    async def _run(self, create: Callable[[Fail], faust.App]) -> None:
        app = create(self.fail)
        started = asyncio.ensure_future(app.start())
        self._ready = lambda: _missing(app, started)
        while not (self._stop.is_set() or self._failed(app, started)):
            self._heartbeat.beat()
            await asyncio.sleep(_TURN_S)
        failed = self._failed(app, started)
        if failed:
            _end_process_in(_LAST_WORDS_S)
            get_logger("runner").error("aggregation_failed", exc_info=failed)
        started.cancel()
        await self._finish(app, _LAST_WORDS_S / 2 if failed else self._stop_within.total_seconds())
        if failed:
            raise failed

    def _failed(self, app: faust.App, started: "asyncio.Future[None]") -> BaseException | None:
        if self._failure is not None:
            return self._failure
        if started.done() and not started.cancelled() and started.exception() is not None:
            return started.exception()
        if app.crashed or app.should_stop:
            return app.crash_reason or MeshError("Faust stopped by itself")
        return None

    @staticmethod
    async def _finish(app: faust.App, seconds: float) -> None:
        try:
            await asyncio.wait_for(app.stop(), seconds)
        except TimeoutError:
            get_logger("runner").warning("stop_overdue", seconds=seconds)


def _missing(app: faust.App, started: "asyncio.Future[None]") -> str | None:
    if not started.done():
        return "joining the group or recovering the tables"
    if app.rebalancing:
        return "partitions are changing hands"
    return None if app.consumer.assignment() else "no partitions assigned"


def _end_process_in(seconds: float) -> None:
    """A last resort: at-least-once delivery makes an abrupt end safe."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
