"""What the aggregator needs from the outside, as Protocols."""

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aggregator.domain.state import CameraState
from mesh.events import FrameRecognized
from mesh.record import Record
from mesh.stage import Output


@dataclass(frozen=True, slots=True)
class Step:
    """What a record did: the camera's state afterwards and what to publish, in this order."""

    state: CameraState
    outputs: Sequence[Output] = ()
    poisoned: bool = False
    """The record's bytes are to be parked as a dead letter too."""


class Reducer(Protocol):
    """The use case, as whoever moves records calls it; touches nothing but its arguments."""

    def process(
        self, state: CameraState, record: Record[FrameRecognized], started_at: datetime
    ) -> Step:
        """Fold a record, taken up at `started_at`, into its camera's state.

        Any exception follows from the record and the state alone: call `poison` then.
        """

    def poison(
        self, state: CameraState, record: Record[FrameRecognized], started_at: datetime
    ) -> Step:
        """The outcome `failed(poison)` of a record on which `process` raised; moves no sighting."""

    def close_silent(self, state: CameraState, camera_id: str) -> Step:
        """Close the open sightings of a camera from which nothing came for the gap."""

    def closed_by_silence(self, state: CameraState, camera_id: str) -> Sequence[Output]:
        """What `close_silent` said of this camera and still holds, byte for byte."""


class CameraStates(Protocol):
    """The cameras' states, partitioned like their records."""

    def load(self, camera_id: str) -> CameraState:
        """The camera's state; the empty one if it is new."""

    def save(self, camera_id: str, state: CameraState) -> Awaitable[object]:
        """Store the state at once; the result says when whoever comes next would find it."""

    def forget(self, camera_id: str) -> Awaitable[object]:
        """Delete the state at once; the result says when nobody would find it again."""

    def items(self) -> Iterator[tuple[str, CameraState]]:
        """Every camera of the partitions that this process owns, with its state."""

    def acting_in(self, partition: int) -> AbstractContextManager[None]:
        """Load and save in this partition, without a record of it in hand."""
