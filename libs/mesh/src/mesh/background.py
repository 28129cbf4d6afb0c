"""Work beside the main loop, in threads whose failure ends the process."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from types import TracebackType
from typing import Self

from mesh.logs import get_logger

_MAX_THREADS = 16
Work = Callable[[Event, Callable[[str], None]], None]
"""Runs until the event is set; tells the callable what went wrong for a passing reason."""


class Background:
    """Runs work in threads; leaving it asks them to stop, waits, and raises what they raised."""

    def __init__(self, name: str, stop: Event) -> None:
        self.stop = stop
        self._warn = partial(_warning, name)
        self._pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix=name)
        self._futures: list[Future[None]] = []

    def start(self, work: Work) -> None:
        """Run this in a thread; if it raises, everything is asked to stop."""
        future = self._pool.submit(work, self.stop, self._warn)
        future.add_done_callback(self._ended)
        self._futures.append(future)

    def _ended(self, future: Future[None]) -> None:
        if future.exception() is not None:
            self.stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all work; raises what the first failed work raised, unless the block raised."""
        self.stop.set()
        self._pool.shutdown(wait=True)
        if error is None:
            for future in self._futures:
                future.result()


def _warning(name: str, message: str) -> None:
    get_logger(name).warning("background_work_delayed", message=message)
