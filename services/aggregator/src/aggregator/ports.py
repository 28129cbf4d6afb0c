"""What the aggregator needs from the outside, as Protocols."""

from collections.abc import Awaitable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from aggregator.domain.state import CameraState


class CameraStates(Protocol):
    """The cameras' states, partitioned like their records."""

    def load(self, camera_id: str) -> CameraState:
        """The camera's state; the empty one if it is new."""

    def save(self, camera_id: str, state: CameraState) -> Awaitable[object]:
        """Store the state at once; the result says when whoever comes next would find it."""

    def items(self) -> Iterator[tuple[str, CameraState]]:
        """Every camera of the partitions that this process owns, with its state."""

    def acting_in(self, partition: int) -> AbstractContextManager[None]:
        """Load and save in this partition, without a record of it in hand."""
