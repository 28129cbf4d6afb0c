"""Partitions that have records which do not come, although the broker has them."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from aggregator.adapters.acknowledgements import Fail
from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.kafka.standstill import Bounds, Standstill, in_background
from mesh.record import TopicPartition

_LIMIT = timedelta(seconds=60)


class StallWatch:
    """Ends the process if the offset of a partition stands still before its end for a minute.

    A stream that skips what it holds in a rebalance relies on the consumer to read it again. Should
    that fail, the offset never moves past the hole, and a restart brings the records. Only time in
    which the broker answers counts: while it is away nothing can come.

    Args:
        ask: Asks the broker for the bounds of all partitions, with a client of its own.
        clock: Counts the time that passes.
        fail: Told of the stall.
        start: Runs what asks, so that whoever looks does not wait.
    """

    def __init__(
        self,
        ask: Callable[[], Bounds],
        clock: Clock,
        fail: Fail,
        *,
        start: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        self._standstill = Standstill(ask, clock, _LIMIT, start=start)
        self._fail = fail

    def look(self, committed: Mapping[TopicPartition, int | None]) -> None:
        """Note where the owned partitions are; call it every few seconds.

        Args:
            committed: The committed offset, if there is one, of each owned partition; of none while
                something is in the way: a rebalance, a recovery, a dependency that is away.
        """
        self._standstill.look(committed)
        problem = self._standstill.problem()
        if problem is not None:
            self._fail(MeshError(f"{problem}; starting again"))
