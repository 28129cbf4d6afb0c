"""When a process that ended is started again."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Full-jitter backoff: a random wait below a bound that doubles.

    Args:
        first: The bound of the first wait, in seconds.
        longest: The highest bound, in seconds.
        settled: Seconds of life after which earlier failures no longer count.
        tries: Failures before the first readiness after which the start is given up.
    """

    first: float = 0.5
    longest: float = 30.0
    settled: float = 60.0
    tries: int = 3

    def bound(self, failures: int) -> float:
        """The longest wait after so many failures in a row, at least one."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 32))

    def wait(self, failures: int, *, uniform: Callable[[float, float], float]) -> float:
        """The wait after so many failures in a row, in seconds."""
        return uniform(0.0, self.bound(failures))

    def failures(self, before: int, lived: float) -> int:
        """How many failures in a row there are after a process ended that lived so long."""
        return 1 if lived >= self.settled else before + 1
