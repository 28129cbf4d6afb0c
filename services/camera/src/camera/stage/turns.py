"""Whose turn it is to connect, and who may try at once because a host answers again."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from camera.domain.budget import ConnectionBudget, ConnectionLimits, Place


class Turns:
    """The budget of connections, and the streams that wait for their next attempt, by host.

    Used from one event loop.
    """

    def __init__(self, limits: ConnectionLimits | None = None) -> None:
        self._budget = ConnectionBudget(limits)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def ask(self, host: str, granted: Callable[[], None], *, again: bool) -> Place:
        """Queues for a turn.

        Args:
            host: What the camera hangs on.
            granted: Called when the turn has come, perhaps before this returns.
            again: Whether the camera's last attempt failed.
        """
        return self._budget.ask(host, granted, again=again)

    def went_live(self, place: Place) -> None:
        """A camera is live: if its host had been silent, all others there may try at once."""
        if place.succeeded():
            for waiting in self._waiting.get(place.host, ()):
                waiting.set()
        place.leave()

    @contextmanager
    def waiting(self, host: str, event: asyncio.Event) -> Iterator[None]:
        """Meanwhile the event is set should the host answer again."""
        self._waiting[host].add(event)
        try:
            yield
        finally:
            self._waiting[host].discard(event)
            if not self._waiting[host]:
                del self._waiting[host]


class ThreadTurns:
    """The same turns, asked for by threads. Made in the event loop that the turns are used from."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._loop = asyncio.get_running_loop()

    def ask(self, host: str, granted: Callable[[], None], *, again: bool) -> "ThreadTurn":
        """Queues for a turn; see `camera.ports.ConnectionTurns`."""
        turn = ThreadTurn(self._loop, granted)
        turn.in_loop(lambda: turn.queue(lambda come: self._turns.ask(host, come, again=again)))
        return turn


class ThreadTurn:
    """A thread's turn; see `camera.ports.Turn`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, granted: Callable[[], None]) -> None:
        self.granted = False
        self._loop = loop
        self._tell = granted
        self._place: Place | None = None

    def leave(self) -> None:
        """Gives it back."""
        self.in_loop(self._leave)

    def in_loop(self, call: Callable[[], None]) -> None:
        """Calls something there, unless the loop is closed: the process ends."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    def queue(self, ask: Callable[[Callable[[], None]], Place]) -> None:
        """Called in the loop, before `leave` is there."""
        self._place = ask(self._come)

    def _come(self) -> None:
        self.granted = True
        self._tell()

    def _leave(self) -> None:
        if self._place is not None:
            self._place.leave()
