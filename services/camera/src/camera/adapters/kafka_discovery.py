"""Commands to look for cameras, from the topic `camera.commands` to `answers`."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from camera.domain.found import Findings, Search, SearchError
from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.events import Answer, DiscoverCameras
from mesh.logs import get_logger
from mesh.record import Record
from mesh.stage import Output

_WAITING = 16
"""Commands that may wait; more are passed over, and whoever asked hears nothing of this replica."""
_FLUSH = timedelta(seconds=5)
_CRASHED = SearchError("CRASHED", "looking for cameras ended in a bug; see the log of the camera")


class Following(Protocol):
    """The part of `mesh.kafka.KafkaTail` that is needed here."""

    def run(self, handle: Callable[[Record[Any]], None], stop: threading.Event) -> None:
        """Hands over every record until `stop` is set; blocks."""


class Searching(Protocol):
    """The use case as it is needed here."""

    def understand(self, command: DiscoverCameras) -> Search:
        """What a command asks for; raises `SearchError` if it cannot be carried out."""

    async def look(self, search: Search) -> Findings:
        """Looks for so long as was asked."""

    def answer(self, command: DiscoverCameras, outcome: Findings | SearchError) -> Answer:
        """The answer to whoever asked."""


class Answering(Protocol):
    """The part of `mesh.kafka.EventProducer` that is needed here."""

    def send(self, output: Output) -> None:
        """Queues an event."""

    def flush(self, timeout: timedelta = ...) -> None:
        """Waits until everything is acknowledged."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    command: DiscoverCameras
    arrived: float


class DiscoveryDesk:
    """Carries out one command after another, in a thread and an event loop of its own.

    Commands that ask the same as the one in hand share what it finds. A crash is an answer too.
    Streams hear nothing of any of this.

    Args:
        tail: Follows `camera.commands` from its end.
        search: The use case.
        answers: Publishes; used from this thread alone.
        topic: Full name of `answers`.
        clock: Tells how long a command waited.
    """

    def __init__(
        self,
        tail: Following,
        search: Searching,
        answers: Answering,
        *,
        topic: str,
        clock: Clock,
    ) -> None:
        self._tail = tail
        self._search = search
        self._answers = answers
        self._topic = topic
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._log = get_logger("camera.discovery")

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; blocks.

        Raises:
            MeshError: The topic cannot be followed.
        """
        asyncio.run(self._serve(stop))

    async def _serve(self, stop: threading.Event) -> None:
        loop = asyncio.get_running_loop()

        def take(record: Record[Any]) -> None:
            if record.event is not None:
                waiting = _Waiting(record.event, self._clock.monotonic())
                loop.call_soon_threadsafe(self._take, waiting)

        following = asyncio.ensure_future(asyncio.to_thread(self._tail.run, take, stop))
        working = asyncio.ensure_future(self._work())
        await asyncio.wait([following, working], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        await asyncio.wait([working])
        if not working.cancelled():
            stop.set()
            working.result()
        await following

    def _take(self, waiting: _Waiting) -> None:
        if len(self._waiting) >= _WAITING:
            request_id = waiting.command.request_id
            self._log.warning("discovery_passed_over", request_id=request_id)
            return
        self._waiting.append(waiting)
        self._arrived.set()

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            await self._carry_out(self._waiting.popleft())

    async def _carry_out(self, waiting: _Waiting) -> None:
        command = waiting.command
        waited = self._clock.monotonic() - waiting.arrived
        if waited > command.timeout_ms / 1000:
            self._log.warning("discovery_too_late", request_id=command.request_id)
            return
        try:
            search = self._search.understand(command)
        except SearchError as error:
            self._publish([command], error)
            return
        outcome = await self._look(search)
        self._publish([command, *self._alike(search)], outcome)

    async def _look(self, search: Search) -> Findings | SearchError:
        """What was found; a bug costs this look, not the process."""
        task = asyncio.ensure_future(self._search.look(search))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        error = task.exception()
        if error is None:
            return task.result()
        self._log.error("discovery_crashed", exc_info=error)
        return _CRASHED

    def _alike(self, search: Search) -> list[DiscoverCameras]:
        """Takes the commands out of the queue that what was found answers too."""
        sharing: list[_Waiting] = []
        others: list[_Waiting] = []
        for waiting in self._waiting:
            try:
                same = self._search.understand(waiting.command).alike(search)
            except SearchError:
                same = False
            (sharing if same else others).append(waiting)
        self._waiting = deque(others)
        return [waiting.command for waiting in sharing]

    def _publish(self, commands: list[DiscoverCameras], outcome: Findings | SearchError) -> None:
        try:
            for command in commands:
                answer = self._search.answer(command, outcome)
                self._answers.send(Output(self._topic, command.request_id, answer))
            self._answers.flush(_FLUSH)
        except MeshError as error:
            self._log.warning("discovery_unanswered", problem=str(error))
