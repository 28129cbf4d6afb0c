"""Whose turn it is to connect, and who may try at once because a host answers again."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
