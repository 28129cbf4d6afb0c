"""What keeps the links of a chain at work: building, warming, building anew, telling changes."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Generic

from inference.choice import NoEngineError
from inference.engine import EngineError
from inference.link_health import ChainPolicy, LinkState
from inference.links import Change, Link, Tool
from inference.slots import Slot
from inference.threads import Threads
from mesh.clock import Clock


class Upkeep(Generic[Tool]):
    """The slots of a chain; whoever looks at one or changes it holds `lock`."""

    def __init__(
        self,
        links: Sequence[Link[Tool]],
        *,
        warm_up: Callable[[Tool], None],
        policy: ChainPolicy,
        tell: Callable[[Change[Tool]], None],
        clock: Clock,
        threads: Threads,
    ) -> None:
        """Build every link; arguments as of `Chain`.

        Raises:
            ConfigurationError: the last link cannot be built, or another one for another reason
                than that no engine can run it.
        """
        self.lock = threading.Lock()
        self.slots = [Slot(link, policy, clock, alone=len(links) == 1) for link in links]
        self._warm_up = warm_up
        self._longest_start = policy.longest_start
        self._tell = tell
        self._threads = threads
        self._fell_from: Slot[Tool] | None = None
        for slot in self.slots:
            self._build_first(slot)
        self.review()

    @property
    def tools(self) -> Sequence[Tool]:
        """What was built, in order."""
        return [slot.tool for slot in self.slots if slot.built]

    @property
    def serving(self) -> Tool:
        """What a call would be answered by now."""
        with self.lock:
            built = [slot for slot in self.slots if slot.built]
            usable = [slot for slot in built if slot.state is not LinkState.FAILED]
            return (usable or built)[0].tool

    @property
    def state(self) -> LinkState:
        """Failed if nothing answers, degraded if not the first link; builds anew what has rested.

        Reading it now and then lets links recover without calls.
        """
        with self.lock:
            for slot in self.slots:
                self.mend(slot)
            self.review()
            if not any(slot.health.usable for slot in self.slots):
                return LinkState.FAILED
            first = self.slots[0].state
            return LinkState.AVAILABLE if first is LinkState.AVAILABLE else LinkState.DEGRADED

    def warm_up(self) -> None:
        """Warm every link up, in this thread; what is built anew later is warm when it is asked.

        Raises:
            EngineError: the last link fails; another one that does is left alone.
        """
        for slot in self.slots:
            if not slot.built:
                continue
            try:
                self._warm_up(slot.tool)
            except EngineError as error:
                if slot is self.slots[-1]:
                    raise
                with self.lock:
                    slot.broke(str(error))
                    self.review()

    def mend(self, slot: Slot[Tool]) -> None:
        """Take what was built anew, or start to build it once it has rested; the lock is held."""
        slot.mend(partial(self.build, slot))

    def build(self, slot: Slot[Tool]) -> Future[Tool]:
        """Build it anew in the background, warm."""

        def build() -> Tool:
            tool = slot.link.build()
            self._warm_up(tool)
            return tool

        return self._threads.start(build)

    def stood_in(self, slot: Slot[Tool], expected: Slot[Tool]) -> None:
        """A link answered for another one: told once until that is restored; the lock is held."""
        if self._fell_from is None:
            self._fell_from = expected
            change = Change(
                "model_fallback", expected.link, expected.state, expected.reason, slot.link
            )
            self._tell(change)

    def review(self) -> None:
        """Tell what changed since the last time; the lock is held."""
        for slot in self.slots:
            state, told = slot.state, slot.told
            slot.told = state
            if state is LinkState.AVAILABLE and told is not LinkState.AVAILABLE:
                if self._fell_from is slot:
                    self._fell_from = None
                self._tell(Change("model_restored", slot.link, state, "no trouble lately"))
            elif state is not told and told is not LinkState.FAILED:
                self._tell(Change("model_degraded", slot.link, state, slot.reason))

    def _build_first(self, slot: Slot[Tool]) -> None:
        if slot is self.slots[-1]:
            slot.take(slot.link.build())
            return
        slot.building = self._threads.start(slot.link.build)
        if not wait([slot.building], self._longest_start).done:
            slot.broke(f"was not built within {self._longest_start:g} s")
            return
        try:
            slot.take(slot.building.result())
        except (EngineError, NoEngineError) as error:
            slot.broke(f"cannot be built: {error}")
        slot.building = None
