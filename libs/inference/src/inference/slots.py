"""A link of a chain with what was built of it, and how it does."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Generic

from inference.link_health import ChainPolicy, LinkHealth, LinkState
from inference.links import Link, Tool
from mesh.clock import Clock


class Slot(Generic[Tool]):
    """Not thread-safe: the chain that owns it holds a lock."""

    def __init__(
        self, link: Link[Tool], policy: ChainPolicy, clock: Clock, *, alone: bool = False
    ) -> None:
        """Take a link, nothing of which is built yet.

        Args:
            link: what is built.
            policy: what is put up with.
            clock: measures pauses.
            alone: nothing can stand in for it.
        """
        tolerated = policy.tolerated_alone if alone else policy.tolerated
        self.link = link
        self.health = LinkHealth(replace(policy, tolerated=tolerated), clock)
        self.building: Future[Tool] | None = None
        self.told = LinkState.AVAILABLE
        self.reason = ""
        self._alone = alone
        self._patience = policy.tolerated_alone
        self._in_vain, self._renewed_at = 0, self._patience
        self._tools: list[Tool] = []

    @property
    def built(self) -> bool:
        """Whether there is a tool at all."""
        return bool(self._tools)

    @property
    def tool(self) -> Tool:
        """What was built last; there must be something."""
        return self._tools[-1]

    @property
    def state(self) -> LinkState:
        """How far it can be relied on; what only one link refused may be bad itself."""
        state = self.health.state
        tolerated = self._alone and state is LinkState.DEGRADED
        return LinkState.AVAILABLE if tolerated else state

    def take(self, tool: Tool) -> None:
        """Use what was built."""
        self._tools = [tool]

    def answered(self) -> None:
        """It answered a call."""
        self.health.answered()
        self._in_vain, self._renewed_at = 0, self._patience

    def undecided(self, start: Callable[[], Future[Tool]], *, alone: bool) -> None:
        """It refused a call that no other link answered.

        Args:
            start: builds it anew.
            alone: the others have failed: it may be at fault itself, and is built anew after as
                many calls in a row as an only link, then after twice as many, and so on.
        """
        self.health.undecided()
        self._in_vain = self._in_vain + 1 if alone else 0
        if self._in_vain >= self._renewed_at and self.building is None:
            self._renewed_at *= 2
            self.building = start()

    def broke(self, reason: str) -> None:
        """A call hung, or it could not be built or warmed."""
        self.reason = reason
        self.health.broke()

    def mend(self, start: Callable[[], Future[Tool]]) -> None:
        """Take what was built anew, or start to build it once the link has rested."""
        if self.building is not None and self.building.done():
            error = self.building.exception()
            if error is None:
                self.take(self.building.result())
                self.health.built()
            else:
                self.broke(f"cannot be built: {error}")
            self.building = None
        if self.building is None and self.health.asks_for_rebuild:
            self.building = start()
