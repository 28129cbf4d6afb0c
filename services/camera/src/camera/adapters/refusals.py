"""Topics that cannot be published to for now, and when to try again."""

from dataclasses import dataclass
from datetime import timedelta

from mesh.clock import Clock
from mesh.errors import TransientError
from mesh.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: TransientError
    since: float
    until: float
    failures: int


class Refusals:
    """Lets every topic wait for itself, so that one whose schema is unknown stops no other.

    Args:
        clock: Tells the time.
        retry: How long a topic waits; with jitter.
    """

    def __init__(self, clock: Clock, retry: RetryPolicy | None = None) -> None:
        self._clock = clock
        self._retry = retry or RetryPolicy(maximum=timedelta(seconds=5), attempts=None)
        self._refused: dict[str, _Refusal] = {}

    def refused(self, topic: str, error: TransientError) -> None:
        """An event for the topic was not even queued."""
        now, before = self._clock.monotonic(), self._refused.get(topic)
        failures = 1 if before is None else before.failures + 1
        decision = self._retry.decide(failures)
        delay = decision.delay if decision is not None else self._retry.maximum
        self._refused[topic] = _Refusal(
            error, now if before is None else before.since, now + delay.total_seconds(), failures
        )

    def taken(self, topic: str) -> None:
        """An event for the topic was queued."""
        self._refused.pop(topic, None)

    def waits(self, topic: str) -> bool:
        """Whether nothing should be sent to the topic yet."""
        return self.present(topic) is not None

    def present(self, topic: str) -> TransientError | None:
        """Why nothing should be sent to the topic yet."""
        refusal = self._refused.get(topic)
        return refusal.error if refusal and self._clock.monotonic() < refusal.until else None

    def lasting(self, seconds: float) -> str | None:
        """What has been refusing a topic for longer than so many seconds; from any thread."""
        now = self._clock.monotonic()
        lasting = (each for each in list(self._refused.values()) if now - each.since > seconds)
        return next((str(each.error) for each in lasting), None)
