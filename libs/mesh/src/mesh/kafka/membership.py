"""Ends a worker whose client is kept out of its group although the broker answers."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from mesh.clock import Clock
from mesh.errors import TransientError
from mesh.scheduler import LaneSpec


class Member(Protocol):
    """A lane, as far as its group is concerned."""

    spec: LaneSpec
    joined: bool

    def answers(self) -> bool:
        """Whether the broker does."""


class Membership:
    """Looks whether every lane is in its group; the client's own attempts come first.

    A client that knows no broker any more is replaced by its consumer (`mesh.kafka.stranded`). For
    whatever else keeps one out only a new process is left.
    """

    def __init__(self, lanes: Sequence[Member], clock: Clock, patience: timedelta) -> None:
        """Take whom to look at, and how long the broker may answer without letting one in."""
        self._lanes = lanes
        self._clock = clock
        self._patience = patience
        self._since: float | None = None

    def check(self) -> None:
        """Look once.

        Raises:
            TransientError: the broker has answered for longer than it may.
        """
        outside = [lane for lane in self._lanes if not lane.joined]
        if not outside or not outside[0].answers():
            self._since = None
            return
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self._patience.total_seconds():
            names = ", ".join(lane.spec.name for lane in outside)
            raise TransientError(
                f"no assignment of {names} in {now - self._since:.0f} s although the broker answers"
            )
