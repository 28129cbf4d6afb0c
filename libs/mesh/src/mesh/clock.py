"""Time as a dependency."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """The present in UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never runs backwards."""

    def sleep(self, seconds: float) -> None:
        """Block the calling thread; zero or less returns at once."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never runs backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread; zero or less returns at once."""
        if seconds > 0:
            time.sleep(seconds)


class ManualClock:
    """A clock that moves only when it is told to, for tests."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The present in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that the clock was advanced by."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Advance at once, and remember for how long in `slept`."""
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += max(seconds, 0.0)
