"""When to try a camera again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import SystemRandom

from camera.domain.life import ErrorCode
from mesh.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Full jitter below 1, 2, 4, 8 … 60 s; slowly where only people can help."""

    initial: timedelta = timedelta(seconds=1)
    maximum: timedelta = timedelta(seconds=60)
    """Also the longest wait after an error that needs people; the shortest is half of it."""
    random: Callable[[], float] = field(default=SystemRandom().random)
    """Uniform in [0, 1)."""

    def delay(self, failures: int, code: ErrorCode) -> timedelta:
        """How long to wait after so many failures in a row, the last one for this reason.

        Args:
            failures: At least 1.
            code: The last failure.
        """
        policy = RetryPolicy(initial=self.initial, maximum=self.maximum)
        if code.needs_people:
            return self.maximum * (0.5 + 0.5 * self.random())
        return policy.cap(failures) * self.random()
