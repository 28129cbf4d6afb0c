"""What the camera stage needs from the world."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from camera.domain.found import Search
from camera.domain.life import ErrorCode
from mesh.events import (
    INLINE_BYTES,
    Camera,
    CameraStatus,
    FoundDevice,
    FrameRef,
    Lane,
    LogEvent,
    StreamState,
    TimestampSource,
)
from mesh.source.epoch import Epoch


class SourceError(Exception):
    """A camera cannot be read; its message names no credentials.

    Args:
        code: Why, for machines.
        message: Why, for people.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class VideoFrame(Protocol):
    """One decoded picture; its pixels are touched only when it is kept."""

    @property
    def media_time(self) -> float:
        """Place in the stream, seconds; never runs backwards within a connection."""

    @property
    def claimed(self) -> datetime | None:
        """When the camera says it was taken, UTC."""

    @property
    def source(self) -> TimestampSource:
        """How the camera said it."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def size(self) -> int:
        """Bytes received since the frame before."""

    def jpeg(self, limit: int = INLINE_BYTES) -> bytes | None:
        """The picture as JPEG of at most so many bytes; `None` if it cannot be made that small.

        May be called only until the next frame is read.
        """

    def small_jpeg(self) -> bytes | None:
        """The second, smaller picture of the same moment, if the camera sends one; as `jpeg`."""

    def fingerprint(self) -> int:
        """Equal for exactly equal pictures, and hardly ever for others; cheap. As `jpeg`."""

    def thumbnail(self) -> NDArray[np.uint8]:
        """The picture in grey, (height, width), the longer side about 64 to 160; cheap. As `jpeg`.

        The same size for all pictures of one width and height.
        """


class FrameSource(Protocol):
    """One connection to one camera; used from one thread, but for `interrupt`."""

    @property
    def transport(self) -> str | None:
        """How the pictures travel, such as tcp or udp; known after `open`."""

    @property
    def codec(self) -> str | None:
        """What the pictures are coded in, such as h264 or mjpeg; known after `open`."""

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Pictures that it left out since it was made, such as broken ones, by reason."""

    @property
    def own_seconds(self) -> float:
        """Processor time of threads of its own that read the camera, since it was made."""

    def open(self) -> None:
        """Connects; blocks for at most the camera's time-out.

        Raises:
            SourceError: The camera cannot be reached, refuses, or sends what cannot be read.
        """

    def read(self) -> VideoFrame | None:
        """The next frame; `None` where a source that has an end is over.

        Blocks for at most the camera's time-out, and paces what is not live.

        Raises:
            SourceError: The connection broke, or no picture came in time.
        """

    def wants(self, fps: float) -> None:
        """Told how many pictures a second are wanted at most, between two reads.

        A source that decodes may leave out what nobody wants, evenly, and counts it in
        `passed_over` as `NOT_WANTED`; any other does nothing.
        """

    def catch_up(self) -> None:
        """Asks to leave pictures out until those come that were taken just now.

        Called between two reads; a source that leaves some out counts them in `passed_over`, and
        one whose pictures do not wait anywhere does nothing.
        """

    def interrupt(self) -> None:
        """Asks a blocked `read` of another thread to return soon, if it can; never blocks."""

    def close(self) -> None:
        """Ends the connection; repeatable, and allowed before `open`."""


class Turn(Protocol):
    """A thread's turn to connect to a host: waited for, then had, then given back."""

    @property
    def granted(self) -> bool:
        """Whether it has come."""

    def leave(self) -> None:
        """Gives it back, or waits for it no longer; repeatable, never blocks."""


class ConnectionTurns(Protocol):
    """Turns to connect, for threads; what all connections share."""

    def ask(self, host: str, granted: Callable[[], None], *, again: bool) -> Turn:
        """Queues for a turn; never blocks.

        Args:
            host: What is connected to.
            granted: Called from any thread once the turn has come.
            again: Whether the last attempt failed.
        """


class SourceFactory(Protocol):
    """Makes the source that suits a camera."""

    def __call__(self, camera: Camera) -> FrameSource:
        """A source that is not connected yet.

        Raises:
            SourceError: Streams of this kind, or with these settings, cannot be read.
        """


class CameraKeeper(Protocol):
    """What the stage is told; used from its event loop alone."""

    broken: "asyncio.Future[None]"
    """Raises what ended the stage, should a bug do that."""

    def changed(self, camera_id: str, camera: Camera | None) -> None:
        """A camera was registered, changed, or deleted."""

    def registry_known(self) -> None:
        """Everything that was registered has been read."""

    def assigned(self, partitions: Collection[int]) -> None:
        """More partitions of `cameras` are this replica's."""

    def revoked(self, partitions: Collection[int]) -> None:
        """Partitions are this replica's no more; their streams end before this returns."""

    def lost(self, partitions: Collection[int]) -> None:
        """The group fell silent, so nobody can tell whose these partitions are until `assigned`."""

    def publishing(self, problem: str | None) -> None:
        """Whether frames can be published; a problem names what is away."""

    def report(self) -> None:
        """Publishes the status of every stream."""

    def stop(self) -> None:
        """Ends every stream and says so."""


class FramePublisher(Protocol):
    """Brings the frames of epochs to the broker and their account to the ledger."""

    def attach(self, epoch: Epoch) -> None:
        """Looks after an epoch until it is finished; never blocks."""

    def wake(self) -> None:
        """There are new frames; never blocks, called from any thread."""


class StatusPublisher(Protocol):
    """Tells the mesh how cameras are; never blocks, and drops rather than waits."""

    def status(self, status: CameraStatus) -> None:
        """The latest status of a camera; replaces one that was not sent yet."""

    def forget(self, camera_id: str) -> None:
        """A camera was deleted: so is its status."""

    def event(self, event: LogEvent) -> None:
        """Something happened."""


class LargePictures(Protocol):
    """Takes pictures that are too large for their record."""

    def __call__(self, image: bytes, lane: Lane, received: datetime) -> FrameRef | None:
        """Stores the picture of a frame of this lane; nothing if it cannot now. Blocks for it."""


class Gauges(Protocol):
    """Shows how much there is of everything at this moment; thread-safe."""

    def waiting(self, frames: Mapping[str, int], size: Mapping[str, int]) -> None:
        """So many frames and bytes wait for the broker, by lane; lanes left out have none."""

    def streams(self, states: Mapping[StreamState, int]) -> None:
        """So many streams are in these states; states left out have none."""


class CameraFinder(Protocol):
    """Looks for cameras of one kind that nobody registered yet."""

    async def find(self, search: Search) -> Sequence[FoundDevice]:
        """What is there; a device that does not tell its streams says why.

        Takes no longer than the search has time.

        Raises:
            SearchError: Nothing could be looked for.
        """
