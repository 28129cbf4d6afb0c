"""Partitions that have records which do not come, although nothing is in their way."""

from collections.abc import Hashable, Mapping
from datetime import timedelta
from typing import TypeVar

from mesh.clock import Clock

_Place = TypeVar("_Place", bound=Hashable)


class StallWatch:
    """Remembers since when the offset of each partition stands still before its end.

    A stream that skips what it holds in a rebalance relies on the consumer to read it again. Should
    that fail, the offset never moves past the hole, and a restart brings the records.

    Args:
        clock: Counts the time that passes.
        limit: A partition that stands still for longer is stalled.
        asleep: If nobody looked for longer than this, the process itself slept, and every partition
            gets its time anew.
    """

    def __init__(self, clock: Clock, *, limit: timedelta, asleep: timedelta) -> None:
        self._clock = clock
        self._limit = limit.total_seconds()
        self._asleep = asleep.total_seconds()
        self._looked = clock.monotonic()
        self._since: dict[Hashable, tuple[int | None, float]] = {}

    def clear(self) -> None:
        """Something is in the way: a rebalance, a recovery, a dependency that is away."""
        self._looked = self._clock.monotonic()
        self._since.clear()

    def stalled(self, behind: Mapping[_Place, int | None]) -> list[_Place]:
        """The partitions that have been standing still for too long.

        Args:
            behind: The committed offset, if there is one, of each owned partition with records that
                are not done.
        """
        now = self._clock.monotonic()
        if now - self._looked > self._asleep:
            self._since.clear()
        self._looked = now
        before, self._since = self._since, {}
        stalled = []
        for place, offset in behind.items():
            known = before.get(place)
            since = known[1] if known is not None and known[0] == offset else now
            self._since[place] = (offset, since)
            if now - since > self._limit:
                stalled.append(place)
        return stalled
