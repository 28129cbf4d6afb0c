"""Cameras that are gone leave the table, now and then."""

from collections.abc import Callable
from typing import Protocol

from aggregator.adapters.aggregation import Aggregation
from aggregator.domain.idleness import IdlePolicy, is_idle
from aggregator.domain.state import CameraState
from aggregator.ports import CameraStates
from mesh.clock import Clock
from mesh.logs import get_logger


class Registered(Protocol):
    """Which cameras exist."""

    async def read(self) -> frozenset[str] | None:
        """The camera_ids of all cameras; nothing if that is not known."""


class Forgetting:
    """Looks through the owned cameras for those that are gone.

    Args:
        aggregation: Forgets a camera between two records.
        table: The cameras.
        registered: Which of them exist.
        clock: Tells how long a camera was silent.
        policy: How long is long enough.
    """

    def __init__(
        self,
        *,
        aggregation: Aggregation,
        table: CameraStates,
        registered: Registered,
        clock: Clock,
        policy: IdlePolicy,
    ) -> None:
        self._aggregation = aggregation
        self._table = table
        self._registered = registered
        self._clock = clock
        self._policy = policy

    async def sweep(
        self, partition_of: Callable[[str], int], caught_up: Callable[[int], bool]
    ) -> None:
        """Forget every camera that was silent for so long; durable when it returns.

        Args:
            partition_of: Of a camera.
            caught_up: Whether this process owns a partition and no record of it can come again.
        """
        known = await self._registered.read()
        now = self._clock.now()

        def is_gone(camera_id: str, state: CameraState) -> bool:
            is_registered = known is None or camera_id in known
            return is_idle(state, now, self._policy, is_registered=is_registered)

        gone = [camera_id for camera_id, state in self._table.items() if is_gone(camera_id, state)]
        for camera_id in gone:
            if await self._aggregation.forget(
                partition_of(camera_id), camera_id, is_gone, caught_up
            ):
                get_logger("forgetting").info("camera_forgotten", camera_id=camera_id)
