"""Whether partitions move: what waits in the broker although nothing of it is read."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.record import TopicPartition

_log = logging.getLogger(__name__)
_ASK_SECONDS = 10.0
_TURN_SECONDS = 10.0
"""The longest that counts from one look to the next: a loop that waits does not stand still."""

Bounds = Mapping[TopicPartition, tuple[int, int]]
"""First offset of each partition, and the offset after the last."""


class _Still(NamedTuple):
    """A partition with waiting records that does not move."""

    offset: int
    stood: float = 0.0
    """Seconds, up to the broker's last answer."""
    since: float = 0.0
    """Seconds since then: they count once it answers again."""


def in_background(ask: Callable[[], None]) -> None:
    """Ask in a thread of its own, so that whoever looks does not wait."""
    threading.Thread(target=ask, name="bounds", daemon=True).start()


class Standstill:
    """Compares how far partitions were read with what the broker says that they hold.

    A client knows where a partition ends only from what it fetched of it: one that fetches nothing
    looks as if there were nothing. So somebody else asks the broker, every ten seconds. Only time
    between two answers counts, and a question without one starts every partition anew.
    """

    def __init__(
        self,
        ask: Callable[[], Bounds],
        clock: Clock,
        patience: timedelta,
        *,
        start: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        """Take what asks the broker, which may block, and how long a partition may stand still."""
        self._ask = ask
        self._clock = clock
        self._patience = patience.total_seconds()
        self._start = start
        self._bounds: Bounds = {}
        self._answers = self._silences = 0
        self._noted = (0, 0)
        self._asking = False
        self._ask_due = self._looked_at = clock.monotonic()
        self._still: dict[TopicPartition, _Still] = {}
        self._problem: str | None = None

    def look(self, read: Mapping[TopicPartition, int | None]) -> Mapping[TopicPartition, int]:
        """Note how far each partition was read; how many records wait in it. Returns at once.

        Args:
            read: next offset to read of every partition that should move; `None` if nothing was
                read or committed, so that it is the first there is.

        Returns:
            Records behind the end, as the broker told it last; what it did not tell is left out.
        """
        now = self._clock.monotonic()
        turn, self._looked_at = min(now - self._looked_at, _TURN_SECONDS), now
        if now >= self._ask_due and not self._asking:
            self._asking, self._ask_due = True, now + _ASK_SECONDS
            self._start(self._refresh)
        answered = self._note_answers()
        bounds = self._bounds
        nexts = {
            place: max(offset or 0, bounds[place][0])
            for place, offset in read.items()
            if place in bounds
        }
        behind = {place: max(0, bounds[place][1] - offset) for place, offset in nexts.items()}
        self._still = {
            place: self._stood(place, nexts[place], turn, answered=answered)
            for place, waiting in behind.items()
            if waiting
        }
        self._problem = self._worded(behind)
        return behind

    def problem(self) -> str | None:
        """Which partitions did not move for longer than they may; nothing if all do."""
        return self._problem

    def _note_answers(self) -> bool:
        """Whether the broker answered since the last look; silence starts everything anew."""
        (answers, silences), self._noted = self._noted, (self._answers, self._silences)
        if self._noted[1] != silences:
            self._still = {}
        return self._noted[0] != answers

    def _stood(self, place: TopicPartition, offset: int, turn: float, *, answered: bool) -> _Still:
        """How long a partition with waiting records has been at this offset."""
        before = self._still.get(place)
        if before is None or before.offset != offset:
            return _Still(offset)
        since = before.since + turn
        if answered:
            return _Still(offset, before.stood + since)
        return before._replace(since=since)

    def _worded(self, behind: Mapping[TopicPartition, int]) -> str | None:
        stuck = [
            f"{place.topic}/{place.partition} ({behind[place]} records wait, {still.stood:.0f} s)"
            for place, still in sorted(self._still.items())
            if still.stood > self._patience
        ]
        return f"not moving: {', '.join(stuck)}" if stuck else None

    def _refresh(self) -> None:
        try:
            self._bounds = self._ask()
            self._answers += 1
        except MeshError as error:  # what is not known accuses nobody
            _log.info("cannot tell whether partitions move: %s", error)
            self._bounds = {}
            self._silences += 1
        finally:
            self._asking = False
