"""The threads of the service around the event loop of its stage."""

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec, Protocol, TypeVar

from camera.ports import CameraKeeper
from mesh.events import Camera

_REVOKE_SECONDS = 30.0
"""A busy machine may keep the event loop waiting, which is no reason to end the process."""
_WATCH_SECONDS = 0.25
_OWN_THREADS = 8
"""More than there are parts. Python's own choice follows the cores, and a part without a thread
would never run."""
P = ParamSpec("P")
T = TypeVar("T")


class Runs(Protocol):
    """A part that lives in a thread of its own."""

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; blocks."""


class Drains(Protocol):
    """A part that has to get rid of what it holds."""

    def run(self, stop: threading.Event, patience: timedelta) -> None:
        """Works until `stop` is set, then for as long as it takes or the patience lasts."""

    def check(self) -> str | None:
        """Why it cannot get rid of anything at present."""


class OnLoop:
    """The stage as other threads may call it. Made in the stage's event loop."""

    def __init__(self, keeper: CameraKeeper) -> None:
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()

    def changed(self, camera_id: str, camera: Camera | None) -> None:
        """A camera was registered, changed, or deleted."""
        self._loop.call_soon_threadsafe(self._keeper.changed, camera_id, camera)

    def registry_known(self) -> None:
        """Everything that was registered has been read."""
        self._loop.call_soon_threadsafe(self._keeper.registry_known)

    def assigned(self, partitions: Collection[int]) -> None:
        """More partitions of `cameras` are this replica's."""
        self._loop.call_soon_threadsafe(self._keeper.assigned, partitions)

    def revoked(self, partitions: Collection[int]) -> None:
        """Partitions are this replica's no more; returns once their streams have ended.

        Raises:
            TimeoutError: The event loop is stuck.
        """
        self._and_wait(self._keeper.revoked, partitions)

    def lost(self, partitions: Collection[int]) -> None:
        """Nobody can tell whose these partitions are; returns once what must not go on has ended.

        Raises:
            TimeoutError: The event loop is stuck.
        """
        self._and_wait(self._keeper.lost, partitions)

    def _and_wait(
        self, tell: Callable[[Collection[int]], None], partitions: Collection[int]
    ) -> None:
        async def told() -> None:
            tell(partitions)

        asyncio.run_coroutine_threadsafe(told(), self._loop).result(_REVOKE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The parts that run until the process is asked to stop.

    Args:
        keeper: The stage.
        registry: Follows the registry.
        group: Membership in the group that shares the cameras out.
        publisher: Publishes.
        probe: Asks the broker whether it is there.
        status_seconds: Time between two statuses of a camera.
        patience: How long the rest may take to be published.
        asides: What has nothing to do with streams.
    """

    keeper: CameraKeeper
    registry: Runs
    group: Runs
    publisher: Drains
    probe: Runs
    status_seconds: float
    patience: timedelta
    asides: Sequence[Runs] = ()

    async def run(self, stop: threading.Event) -> None:
        """Runs until `stop` is set or a part fails; what failed is raised.

        At the end streams close, then the rest is published, then the group is left: the next
        owner of the cameras begins after this one's last word.
        """
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_OWN_THREADS + len(self.asides)))
        drain, leave = threading.Event(), threading.Event()
        asked = _in_thread(stop.wait)
        following = _in_thread(self.registry.run, stop)
        asides = [_in_thread(aside.run, stop) for aside in self.asides]
        member = _in_thread(self.group.run, leave)
        probing = _in_thread(self.probe.run, leave)
        publishing = _in_thread(self.publisher.run, drain, self.patience)
        timers = [asyncio.ensure_future(self._report()), asyncio.ensure_future(self._watch())]
        parts = (following, member, probing, publishing, *asides, *timers, self.keeper.broken)
        await _first_of(asked, *parts)
        for timer in timers:
            timer.cancel()
        self.keeper.stop()
        stop.set()
        drain.set()
        await asyncio.wait([publishing])
        leave.set()
        await asyncio.wait([following, member, probing, *asides])
        for part in parts:
            if part.done() and not part.cancelled():
                part.result()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self.status_seconds)
            self.keeper.report()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.keeper.publishing(self.publisher.check())


def _in_thread(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> "asyncio.Future[T]":
    return asyncio.ensure_future(asyncio.to_thread(work, *given, **named))


async def _first_of(*futures: "asyncio.Future[None] | asyncio.Future[bool]") -> None:
    """Returns when one of them is done, however it ended."""
    one = asyncio.Event()
    for future in futures:
        future.add_done_callback(lambda _: one.set())
    await one.wait()
