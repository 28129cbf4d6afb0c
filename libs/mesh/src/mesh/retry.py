"""When to try again, as a value: nothing here sleeps."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import SystemRandom


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDecision:
    """Try again after this delay."""

    delay: timedelta
    failures: int
    """How often it failed so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter: the n-th delay is random between 0 and its cap.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    initial: timedelta = timedelta(milliseconds=200)
    """Cap of the first delay; doubles with every failure."""
    maximum: timedelta = timedelta(seconds=30)
    """No delay is longer."""
    attempts: int | None = 8
    """Give up after this many failures; `None` never does."""
    random: Callable[[], float] = SystemRandom().random
    """Uniform in [0, 1)."""

    def __post_init__(self) -> None:
        if not timedelta(0) < self.initial <= self.maximum:
            raise ValueError(
                f"initial must be above 0 and at most maximum ({self.maximum}), not {self.initial}"
            )
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")

    def decide(self, failures: int) -> RetryDecision | None:
        """What to do after so many failures in a row; `None` is to give up.

        Raises:
            ValueError: `failures` is below 1.
        """
        if failures < 1:
            raise ValueError(f"failures must be at least 1, not {failures}")
        if self.attempts is not None and failures >= self.attempts:
            return None
        return RetryDecision(delay=self.cap(failures) * self.random(), failures=failures)

    def cap(self, failures: int) -> timedelta:
        """The longest possible delay after so many failures; never falls as they grow."""
        doublings = min(failures - 1, 62)
        seconds = self.initial.total_seconds() * float(1 << doublings)
        return timedelta(seconds=min(seconds, self.maximum.total_seconds()))


PATIENT = RetryPolicy(maximum=timedelta(seconds=10), attempts=None)
"""For what may be away for hours: starting again would not bring it back."""
