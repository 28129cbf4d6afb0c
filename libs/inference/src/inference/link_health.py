"""When a link of a chain is asked, and when it is left alone: a state machine without threads."""

from dataclasses import dataclass
from enum import StrEnum

from mesh.clock import Clock


class LinkState(StrEnum):
    """How far a link can be relied on."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    """It answers, but failed or hung lately."""
    FAILED = "failed"
    """It is not asked until it has been built anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPolicy:
    """How much a chain puts up with."""

    tolerated: int = 3
    """Failures in a row that make a link fail; one call that hangs is enough."""
    tolerated_alone: int = 8
    """The same for the only link of a chain: nothing tells a bad input from a bad link."""
    first_pause: float = 5.0
    """Seconds before a failed link is built anew; doubles each time it fails again at once."""
    longest_pause: float = 300.0
    """Seconds; no pause is longer."""
    lately: float = 60.0
    """Seconds without trouble after which a link counts as available again."""
    longest_start: float = 600.0
    """Seconds that the start waits for a link that another one can stand in for."""
    max_abandoned: int = 4
    """Threads that may hang at a time; one more ends the process."""

    def __post_init__(self) -> None:
        if min(self.tolerated, self.tolerated_alone) < 1 or self.max_abandoned < 0:
            raise ValueError("tolerated must be at least 1, max_abandoned at least 0")
        if not 0 < self.first_pause <= self.longest_pause or self.lately <= 0:
            raise ValueError("0 < first_pause <= longest_pause and 0 < lately must hold")
        if self.longest_start <= 0:
            raise ValueError("longest_start must be above 0")


class LinkHealth:
    """One link: available, degraded or failed; a failed one is probed by a single call.

    Not thread-safe; whoever owns it holds a lock.
    """

    def __init__(self, policy: ChainPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._in_a_row = 0
        self._pauses = 0
        self._failed = False
        self._half_open = False
        self._troubled_at: float | None = None
        self._rests_until = 0.0

    @property
    def state(self) -> LinkState:
        """The state now."""
        if self._failed:
            return LinkState.FAILED
        since = None if self._troubled_at is None else self._clock.monotonic() - self._troubled_at
        recent = since is not None and since < self._policy.lately
        return LinkState.DEGRADED if recent else LinkState.AVAILABLE

    @property
    def usable(self) -> bool:
        """Whether it would be asked, if only for a probe."""
        return not self._failed or self._half_open

    @property
    def rests_until(self) -> float:
        """When a failed link may be built anew, monotonic seconds."""
        return self._rests_until

    @property
    def asks_for_rebuild(self) -> bool:
        """Whether it failed, has rested, and was not built anew since."""
        rested = self._clock.monotonic() >= self._rests_until
        return self._failed and not self._half_open and rested

    def admit(self) -> bool:
        """Whether it may be asked now; a link that was built anew only by one call, the probe."""
        if not self._failed:
            return True
        probes, self._half_open = self._half_open, False
        return probes

    def built(self) -> None:
        """It was built anew: the next call is the probe."""
        self._half_open = True

    def answered(self) -> None:
        """A call was answered; a probe ends the failure."""
        self._in_a_row = 0
        self._pauses = 0
        self._failed = False

    def refused(self) -> None:
        """A call failed that another link could answer."""
        self._troubled_at = self._clock.monotonic()
        self._in_a_row += 1
        if self._failed or self._in_a_row >= self._policy.tolerated:
            self._rest()

    def undecided(self) -> None:
        """A call failed on every link: the input may be at fault, and a probe proved nothing."""
        if self._failed:
            self._half_open = True

    def broke(self) -> None:
        """A call hung, or it could not be built anew."""
        self._troubled_at = self._clock.monotonic()
        self._rest()

    def _rest(self) -> None:
        doubled = self._policy.first_pause * float(1 << min(self._pauses, 30))
        self._pauses += 1
        self._failed, self._half_open = True, False
        self._rests_until = self._clock.monotonic() + min(doubled, self._policy.longest_pause)
