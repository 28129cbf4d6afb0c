"""How many cameras may be connecting at once, so that none storms the host behind them all."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

_SILENT_AFTER = 3
"""A host is called silent when so many attempts in a row failed, whichever cameras made them."""
_PROBES = 2
"""Attempts at once at a silent host: more would only wait for the same answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many attempts may be under way.

    Raises:
        ValueError: A limit is below 1.
    """

    per_host: int = 8
    together: int = 32

    def __post_init__(self) -> None:
        if self.per_host < 1 or self.together < 1:
            raise ValueError("at least 1 camera must be allowed to connect")

    @property
    def at_silent_hosts(self) -> int:
        """Of all attempts, those that may be made at hosts that do not answer."""
        return max(1, self.together // 2)


@dataclass(slots=True)
class _Host:
    """What is known of one host: who waits for it, who connects, and how it answered."""

    first: "deque[Place]" = field(default_factory=deque)
    again: "deque[Place]" = field(default_factory=deque)
    again_is_next: bool = False
    connecting: int = 0
    failures: int = 0
    answers: int = 0

    @property
    def silent(self) -> bool:
        return self.failures >= _SILENT_AFTER

    def take(self) -> "Place":
        """Who is next: those who failed before and all others take turns."""
        queue = self.again if self.again and (self.again_is_next or not self.first) else self.first
        self.again_is_next = queue is self.first
        return queue.popleft()


class Place:
    """A camera's turn to connect: waited for, then had, then given back."""

    def __init__(self, budget: "ConnectionBudget", host: str, granted: Callable[[], None]) -> None:
        self.host = host
        self.granted = False
        """Whether the camera may connect, or might."""
        self._budget = budget
        self._tell = granted
        self._left = False
        self._answers = 0

    def leave(self) -> None:
        """The camera is live, has failed, or does not want to connect any more; repeatable."""
        if not self._left:
            self._left = True
            self._budget.left(self)

    def failed(self) -> bool:
        """The host did not let the camera in; whether it answered others meanwhile."""
        return self._budget.failed(self.host) > self._answers

    def succeeded(self) -> bool:
        """The camera is live; whether its host had been silent before."""
        return self._budget.succeeded(self.host)

    def grant(self, answers: int) -> None:
        """The camera's turn has come.

        Args:
            answers: How often the host has answered by now.
        """
        self.granted = True
        self._answers = answers
        self._tell()


class ConnectionBudget:
    """Hands out turns to connect: few at a host, few in all, none for ever. Not thread-safe.

    Hosts take turns, and at each host cameras in the order in which they asked, those whose last
    attempt failed and the others alternately. Thus neither a recorder with hundreds of cameras nor
    dead cameras keep others waiting for longer than a few attempts last. Hosts that have been
    silent get fewer turns and never all of them.
    """

    def __init__(self, limits: ConnectionLimits | None = None) -> None:
        self._limits = limits or ConnectionLimits()
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)
        """The host that has gone without a turn for longest is first."""
        self._connecting = 0

    def ask(self, host: str, granted: Callable[[], None], *, again: bool = False) -> Place:
        """Queues for a turn.

        Args:
            host: What the camera hangs on.
            granted: Called when the turn has come, perhaps before this returns.
            again: Whether the camera's last attempt failed.
        """
        place = Place(self, host, granted)
        known = self._hosts[host]
        (known.again if again else known.first).append(place)
        self._admit()
        return place

    def left(self, place: Place) -> None:
        """Called by a place, once."""
        host = self._hosts[place.host]
        if place.granted:
            host.connecting -= 1
            self._connecting -= 1
        else:
            (host.first if place in host.first else host.again).remove(place)
        self._admit()

    def failed(self, host: str) -> int:
        """A host let a camera wait or refused it; how often it has answered by now."""
        known = self._hosts[host]
        known.failures += 1
        return known.answers

    def succeeded(self, host: str) -> bool:
        """A host let a camera in; whether it had been silent."""
        known = self._hosts[host]
        was_silent, known.failures = known.silent, 0
        known.answers += 1
        self._admit()
        return was_silent

    def _admit(self) -> None:
        while (host := self._next()) is not None:
            known = self._hosts[host] = self._hosts.pop(host)
            place = known.take()
            known.connecting += 1
            self._connecting += 1
            place.grant(known.answers)

    def _next(self) -> str | None:
        if self._connecting >= self._limits.together:
            return None
        at_silent = sum(host.connecting for host in self._hosts.values() if host.silent)
        for name, host in self._hosts.items():
            if (host.first or host.again) and self._has_room(host, at_silent):
                return name
        return None

    def _has_room(self, host: _Host, at_silent: int) -> bool:
        if not host.silent:
            return host.connecting < self._limits.per_host
        few = min(_PROBES, self._limits.per_host)
        return host.connecting < few and at_silent < self._limits.at_silent_hosts
