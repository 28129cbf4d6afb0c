"""The fallback chain: GPU, then CPU, then cloud, each with its time-out."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

from inference.engine import EngineError
from inference.link_health import ChainPolicy, LinkState
from inference.links import Answered, Change, Link, Out, Tool
from inference.slots import Slot
from inference.threads import AbandonableThreads, HangingError, Threads
from inference.upkeep import Upkeep
from mesh.clock import Clock, SystemClock
from mesh.watchdog import end_process


class ChainTimeoutError(EngineError):
    """No link answered, and at least one of them hung."""


@dataclass(slots=True)
class _Attempt(Generic[Tool]):
    """One call on its way along the chain."""

    expected: Slot[Tool]
    refused: list[Slot[Tool]] = field(default_factory=list)
    hung: bool = False


class Chain(Generic[Tool]):
    """Asks links in order until one answers; safe to use from several threads.

    Each call of a link runs in a daemon thread. A call that hangs is abandoned with its thread and
    its tool; the link is left alone until a pause is over and it was built anew in the background,
    then a single call probes it. When no link may be asked, the one that rested longest is built
    at once and asked: the chain never refuses without having tried. More threads that hang at a
    time than the policy allows end the process uncleanly, as the worker's watchdog does, so that
    the record in hand becomes suspect.

    A failure counts against a link only if another could answer: what all refuse is bad itself.

    A link that no engine can run at the start, such as on a GPU that is away, or that is not built
    in time, starts as failed; the last one must be there.

    A chain of one link calls it in the caller's thread: there is nothing to fall back to, the
    worker's watchdog covers a call that hangs, and handing a call to another thread would only add
    latency. It is built anew after more failures in a row, and asked all the time.
    """

    def __init__(
        self,
        links: Sequence[Link[Tool]],
        *,
        warm_up: Callable[[Tool], None] = lambda _: None,
        policy: ChainPolicy | None = None,
        tell: Callable[[Change[Tool]], None] = lambda _: None,
        clock: Clock | None = None,
        end: Callable[[str], None] = end_process,
        threads: Threads | None = None,
    ) -> None:
        """Build every link.

        Args:
            links: the preferred one first, at least one.
            warm_up: makes the next call of a tool as fast as later ones.
            policy: what is put up with.
            tell: told every change, from any thread; must return at once.
            clock: measures pauses.
            end: ends the process.
            threads: run the calls.

        Raises:
            ValueError: there is no link, or two have one name.
            ConfigurationError: the last link cannot be built, or another one for another reason
                than that no engine can run it.
        """
        if not links or len({link.name for link in links}) != len(links):
            raise ValueError("a chain needs at least one link, and a name of its own for each")
        self._policy = policy or ChainPolicy()
        self._end = end
        self._threads = threads or AbandonableThreads("model-link")
        self._upkeep = Upkeep(
            links,
            warm_up=warm_up,
            policy=self._policy,
            tell=tell,
            clock=clock or SystemClock(),
            threads=self._threads,
        )
        self._slots, self._lock = self._upkeep.slots, self._upkeep.lock

    @property
    def tools(self) -> Sequence[Tool]:
        """What was built, in order."""
        return self._upkeep.tools

    @property
    def serving(self) -> Tool:
        """What a call would be answered by now."""
        return self._upkeep.serving

    @property
    def state(self) -> LinkState:
        """See `Upkeep.state`."""
        return self._upkeep.state

    def warm_up(self) -> None:
        """Warm every link up; see `Upkeep.warm_up`."""
        self._upkeep.warm_up()

    def run(self, use: Callable[[Tool], Out], *, prefer: str | None = None) -> Answered[Tool, Out]:
        """Use the first link that answers; blocks for the sum of the time-outs at most.

        Args:
            use: what to do with a tool; may be called for several of them, at the same time if
                one hangs.
            prefer: device whose link is to be asked first, if there is one.

        Raises:
            ChainTimeoutError: no link answered, and one of them hung.
            EngineError: every link refused.
        """
        only = self._slots[0]
        if len(self._slots) == 1:
            return self._ask_only(only, use)
        first = next((slot for slot in self._slots if slot.link.device == prefer), only)
        ordered = sorted(self._slots, key=lambda slot: slot is not first)
        attempt = _Attempt(ordered[0])
        for slot in self._willing(ordered):
            answer = self._ask(slot, use, attempt)
            if answer is not None:
                return answer
        raise self._given_up(attempt)

    def _willing(self, ordered: Sequence[Slot[Tool]]) -> Iterator[Slot[Tool]]:
        """The links that may be asked; if there is none, the one that rested longest."""
        asked = False
        for slot in ordered:
            with self._lock:
                self._upkeep.mend(slot)
                admitted = slot.health.admit()
            if admitted:
                asked = True
                yield slot
        if asked:
            return
        slot = min(ordered, key=lambda one: one.health.rests_until)
        with self._lock:
            building = slot.building = slot.building or self._upkeep.build(slot)
        wait([building], slot.link.timeout)
        with self._lock:
            self._upkeep.mend(slot)
            admitted = slot.health.admit()
            if not admitted:
                slot.health.broke()
        if admitted:
            yield slot

    def _ask_only(self, slot: Slot[Tool], use: Callable[[Tool], Out]) -> Answered[Tool, Out]:
        with self._lock:
            self._upkeep.mend(slot)
            tool = slot.tool
        try:
            value = use(tool)
        except EngineError as error:
            with self._lock:
                if tool is slot.tool and slot.health.usable:  # while it rests nothing is counted
                    slot.reason = str(error)
                    slot.health.refused()
                    self._upkeep.review()
            raise
        with self._lock:
            slot.answered()
            self._upkeep.review()
        return Answered(value, tool, slot.link, stood_in=False)

    def _ask(
        self, slot: Slot[Tool], use: Callable[[Tool], Out], attempt: _Attempt[Tool]
    ) -> Answered[Tool, Out] | None:
        tool = slot.tool
        try:
            value = self._threads.run(lambda: use(tool), slot.link.timeout)
        except EngineError as error:
            slot.reason = str(error)
            attempt.refused.append(slot)
            return None
        except HangingError as error:
            attempt.hung = True
            self._hung(slot, str(error))
            return None
        stood_in = slot is not attempt.expected
        with self._lock:
            slot.answered()
            for other in attempt.refused:
                other.health.refused()
            self._upkeep.review()
            if stood_in:
                self._upkeep.stood_in(slot, attempt.expected)
        return Answered(value, tool, slot.link, stood_in)

    def _hung(self, slot: Slot[Tool], reason: str) -> None:
        with self._lock:
            slot.broke(reason)
            self._upkeep.review()
        hanging = self._threads.abandoned
        if hanging > self._policy.max_abandoned:
            self._end(f"{hanging} calls of models hang, the last of {slot.link.name}")

    def _given_up(self, attempt: _Attempt[Tool]) -> EngineError:
        with self._lock:
            for slot in attempt.refused:
                others = [other.state for other in self._slots if other is not slot]
                alone = all(state is LinkState.FAILED for state in others)
                slot.undecided(partial(self._upkeep.build, slot), alone=alone)
            reasons = "; ".join(f"{slot.link.name}: {slot.reason}" for slot in self._slots)
        return ChainTimeoutError(reasons) if attempt.hung else EngineError(reasons)
