"""Threads that can be left alone with work that never ends."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class HangingError(Exception):
    """The work did not end in time; its thread is left alone."""


class Threads(Protocol):
    """Threads that can be left alone; see `AbandonableThreads`."""

    @property
    def abandoned(self) -> int:
        """Threads that were given up and still hang."""

    def run(self, work: Callable[[], T], timeout: float) -> T:
        """What the work returns, or raises; HangingError after `timeout` seconds."""

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Run the work without waiting for it."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[], T]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    future: Future[T] = field(default_factory=Future)
    ended: bool = False
    given_up: bool = False


class AbandonableThreads:
    """Runs work in daemon threads; one that hangs is abandoned, never waited for.

    Threads are kept and used again. An abandoned one ends itself if its work ever returns. Safe to
    use from several threads, each of which gets a thread of its own.
    """

    def __init__(self, name: str) -> None:
        """Take what the threads are called."""
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Job[Any]]] = []
        self._abandoned = 0

    @property
    def abandoned(self) -> int:
        """Threads that were given up and still hang."""
        return self._abandoned

    def run(self, work: Callable[[], T], timeout: float) -> T:
        """What the work returns, or raises.

        Args:
            work: runs in another thread, with this thread's context variables.
            timeout: seconds to wait for it.

        Raises:
            HangingError: it did not end in time.
        """
        job = self._submit(work)
        try:
            return job.future.result(timeout)
        except TimeoutError:
            with self._lock:
                job.given_up = not job.ended
                self._abandoned += job.given_up
            if job.given_up:
                raise HangingError(f"no answer within {timeout:g} s") from None
            return job.future.result()  # it ended just now, or raised a TimeoutError itself

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Run the work without waiting for it."""
        return self._submit(work).future

    def _submit(self, work: Callable[[], T]) -> _Job[T]:
        job = _Job(work)
        with self._lock:
            jobs = self._idle.pop() if self._idle else None
        if jobs is None:
            jobs = SimpleQueue()
            threading.Thread(target=self._serve, args=(jobs,), name=self._name, daemon=True).start()
        jobs.put(job)
        return job

    def _serve(self, jobs: SimpleQueue[_Job[Any]]) -> None:
        useful = True
        while useful:
            useful = self._do(jobs.get(), jobs)

    def _do(self, job: _Job[Any], jobs: SimpleQueue[_Job[Any]]) -> bool:
        """Do one job; whether the thread was not given up meanwhile."""
        try:
            result, error = job.context.run(job.work), None
        except BaseException as raised:  # noqa: BLE001 -- carried to whoever waits, as it is
            result, error = None, raised
        with self._lock:
            job.ended = True
            self._abandoned -= job.given_up
            if not job.given_up:
                self._idle.append(jobs)
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
        return not job.given_up
