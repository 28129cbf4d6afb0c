"""A circuit breaker: a pipeline that fails again and again is left alone for a while."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Circuit(StrEnum):
    """Whether requests go through."""

    CLOSED = "closed"
    """They do."""
    HALF_OPEN = "half_open"
    """One of them does, to see."""
    OPEN = "open"
    """None does."""


class Verdict(StrEnum):
    """What the end of a request says of the pipeline."""

    SUCCESS = "success"
    FAILURE = "failure"
    """Of the server's side; a client that waits too briefly is none."""
    UNKNOWN = "unknown"
    """Neither: the request was refused or given up in good order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When the circuit opens, and for how long (design, section 5)."""

    failures: int = 5
    """So many in a row open it."""
    timeout_seconds: float = 30.0
    """A request that the pipeline has not answered by then, or in its own time, has failed."""
    reset_seconds: float = 60.0
    """So long it stays open before one request may probe."""

    def __post_init__(self) -> None:
        if self.failures < 1 or self.timeout_seconds <= 0 or self.reset_seconds <= 0:
            raise ValueError(f"every member must be positive: {self}")


class CircuitBreaker:
    """Follows requests from their permission to their end; not safe for threads by itself.

    A request that never ends by itself fails after the policy's time-out, however briefly its
    client waited: that is how a dead pipeline is told from an impatient client. One that has more
    time of its own fails once that is over: a long queue is no dead pipeline.
    """

    def __init__(self, policy: BreakerPolicy, monotonic: Callable[[], float]) -> None:
        self._policy = policy
        self._monotonic = monotonic
        self._ends: dict[str, float] = {}
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._probe: str | None = None
        self.opened = 0
        """How often it opened."""

    @property
    def state(self) -> Circuit:
        """Whether requests go through now."""
        self._expire()
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if self._wait() > 0 else Circuit.HALF_OPEN

    @property
    def open_for(self) -> float | None:
        """Seconds until a request may probe; nothing unless the circuit is open."""
        return self._wait() if self.state is Circuit.OPEN else None

    def permit(
        self, request_id: str, seconds: float = 0.0, *, urgent: bool = False
    ) -> float | None:
        """Let a request through, or say for how many seconds it should wait.

        Args:
            request_id: Names the request.
            seconds: The time that its client gives it.
            urgent: It goes through however the circuit is.
        """
        self._expire()
        if self._opened_at is not None:
            if not urgent and self._wait() > 0:
                return self._wait()
            if not urgent and self._probe is not None:
                return max(1.0, self._ends[self._probe] - self._monotonic())
            if self._wait() <= 0 and self._probe is None:
                self._probe = request_id
        self._ends[request_id] = self._monotonic() + max(self._policy.timeout_seconds, seconds)
        return None

    def ended(self, request_id: str, verdict: Verdict) -> None:
        """A request that was let through has ended; one that is not known changes nothing."""
        if self._ends.pop(request_id, None) is not None:
            self._judge(request_id, verdict)

    def _expire(self) -> None:
        now = self._monotonic()
        over = [request_id for request_id, ends in self._ends.items() if ends <= now]
        for request_id in sorted(over, key=self._ends.__getitem__):
            self.ended(request_id, Verdict.FAILURE)

    def _judge(self, request_id: str, verdict: Verdict) -> None:
        probe = request_id == self._probe
        if probe:
            self._probe = None
        elif self._opened_at is not None:
            return  # it began before the circuit opened, or is urgent: only the probe tells
        if verdict is Verdict.SUCCESS:
            self._in_a_row, self._opened_at = 0, None
        elif verdict is Verdict.FAILURE:
            self._in_a_row += 1
            if probe or self._in_a_row >= self._policy.failures:
                self._opened_at = self._monotonic()
                self.opened += 1

    def _wait(self) -> float:
        opened_at = self._monotonic() if self._opened_at is None else self._opened_at
        return opened_at + self._policy.reset_seconds - self._monotonic()
