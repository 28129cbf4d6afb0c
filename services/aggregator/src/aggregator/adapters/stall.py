"""Partitions that have records which do not come, although the broker has them."""

from collections.abc import Mapping
from datetime import timedelta

from aggregator.adapters.acknowledgements import Fail
from mesh.errors import MeshError
from mesh.kafka.standstill import Standstill
from mesh.record import TopicPartition

STALL = timedelta(seconds=60)
"""For how long a partition may stand still before its end."""


class StallWatch:
    """Ends the process if the offset of a partition stands still before its end for too long.

    A stream that skips what it holds in a rebalance relies on the consumer to read it again. Should
    that fail, the offset never moves past the hole, and a restart brings the records. Only time in
    which the broker answers counts: while it is away nothing can come.

    Args:
        standstill: Knows what the broker holds, and how long is too long.
        fail: Told of the stall.
    """

    def __init__(self, standstill: Standstill, fail: Fail) -> None:
        self._standstill = standstill
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
