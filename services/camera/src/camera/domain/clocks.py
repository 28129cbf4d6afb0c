"""Whether a camera's clock can be believed."""

from datetime import datetime, timedelta

JUMP = timedelta(seconds=5)
"""A clock that moves by more than this against ours has jumped; delays on the way are smaller."""
SETTLES = 60.0
"""Seconds without a jump until a clock is believed again."""
_FORGOTTEN = 0.001
"""Share by which a clock may run slow without a later correction being hidden."""


class CameraClock:
    """Follows the times that a camera tells, over all its connections. Not thread-safe.

    Pictures are delayed on their way, which looks like a clock that goes back: so the timeliest
    picture is the reference for a jump ahead, and only a clock that truly runs backwards from one
    picture to the next has jumped back.
    """

    def __init__(self) -> None:
        self.jumps = 0
        """How often it jumped."""
        self._last: datetime | None = None
        self._best = 0.0
        self._at = 0.0
        self._believed_from: float | None = None

    def tells(self, claimed: datetime, received: datetime, monotonic: float) -> timedelta | None:
        """A picture came with the camera's time; how far the clock jumped if it did.

        Args:
            claimed: The camera's time.
            received: Ours, UTC.
            monotonic: Ours, seconds.
        """
        ahead = (claimed - received).total_seconds()
        last, best = self._last, self._best - _FORGOTTEN * max(0.0, monotonic - self._at)
        self._last, self._at = claimed, monotonic
        jump = None if last is None else _jump(ahead - best, (claimed - last).total_seconds())
        self._best = ahead if last is None or jump is not None else max(best, ahead)
        if jump is not None:
            self.jumps += 1
            self._believed_from = monotonic + SETTLES
        return jump

    def believed(self, monotonic: float) -> bool:
        """Whether it has not jumped lately."""
        return self._believed_from is None or monotonic >= self._believed_from


def _jump(ahead_of_best: float, step: float) -> timedelta | None:
    limit = JUMP.total_seconds()
    if ahead_of_best > limit:
        return timedelta(seconds=ahead_of_best)
    return timedelta(seconds=step) if step < -limit else None
