"""Doubles of the camera stage's ports, and what its tests arrange with."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import eq

import numpy as np
from numpy.typing import NDArray
from services.camera.tests.patience import PATIENT

from camera.domain.backoff import Backoff
from camera.domain.budget import ConnectionLimits
from camera.domain.life import ErrorCode
from camera.domain.policy import CapturePolicy, SamePassword
from camera.ports import FrameSource, LargePictures, SourceError, VideoFrame
from camera.stage import StageParts, Turns
from mesh.clock import ManualClock
from mesh.errors import MeshError
from mesh.events import (
    INLINE_BYTES,
    Camera,
    CameraStatus,
    LogEvent,
    StreamConfig,
    StreamState,
    StreamType,
    TimestampSource,
)
from mesh.source.epoch import Epoch
from mesh.stage import Output
from mesh.testing import NOON, a_camera


async def until(condition: Callable[[], object]) -> None:
    """Returns when the condition holds; other threads may make it so."""
    async with asyncio.timeout(PATIENT):
        while not condition():  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0.002)


@dataclass(frozen=True)
class FakeFrame:
    media_time: float = 0.0
    claimed: datetime | None = None
    source: TimestampSource = TimestampSource.RTCP
    width: int = 640
    height: int = 360
    size: int = 1000
    image: bytes | None = b"\xff\xd8 picture \xff\xd9"
    small: bytes | None = None
    coarse: bytes | None = None
    """The picture where it has to be small."""
    shows: int | None = None
    """What is to be seen, 0 to 255; if none was given, no picture shows what another does."""
    after: float = 0.0
    """Seconds that pass until it comes, for a source that has the clock."""

    def jpeg(self, limit: int = INLINE_BYTES) -> bytes | None:
        return self.image if len(self.image or b"") <= limit else self.coarse

    def small_jpeg(self) -> bytes | None:
        return self.small

    def fingerprint(self) -> int:
        return id(self) if self.shows is None else self.shows

    def thumbnail(self) -> NDArray[np.uint8]:
        return np.full((36, 64), self.shows or 0, dtype=np.uint8)


Step = SourceError | FakeFrame | RuntimeError | None
"""What a read gives: a frame, an error, a crash, or the end of the stream."""


class FakeSource:
    """Gives the steps one after another, and then blocks until it is interrupted.

    A deaf one goes on blocking until it is woken; either then gives one frame more.
    """

    def __init__(
        self,
        steps: Sequence[Step] = (),
        refusal: Exception | None = None,
        *,
        deaf: bool = False,
        clock: ManualClock | None = None,
    ) -> None:
        self._steps = list(steps)
        self._refusal = refusal
        self._deaf = deaf
        self._clock = clock
        self._interrupted = threading.Event()
        self.opened = self.closed = self.hurried = 0
        self.wanted: list[float] = []
        self.transport: str | None = "tcp"
        self.codec: str | None = "h264"
        self.passed_over: dict[str, int] = {}
        self.own_seconds = 0.0
        self.idle = False
        """Whether every step was given."""

    def open(self) -> None:
        self.opened += 1
        if self._refusal is not None:
            raise self._refusal

    def read(self) -> VideoFrame | None:
        if not self._steps:
            self.idle = True
            self._interrupted.wait(10)
            return FakeFrame(media_time=1000.0)
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if self._clock is not None and step is not None:
            self._clock.advance(step.after)
        return step

    def wants(self, fps: float) -> None:
        self.wanted += [fps] if self.wanted[-1:] != [fps] else []

    def catch_up(self) -> None:
        self.hurried += 1

    def interrupt(self) -> None:
        if not self._deaf:
            self._interrupted.set()

    def wake(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeSources:
    """Makes the prepared sources of each camera in turn, then quiet ones."""

    prepared: dict[str, list[FakeSource]] = field(default_factory=dict)
    made: list[tuple[Camera, FakeSource]] = field(default_factory=list)

    def __call__(self, camera: Camera) -> FrameSource:
        waiting = self.prepared.get(camera.camera_id, [])
        source = waiting.pop(0) if waiting else FakeSource()
        self.made.append((camera, source))
        return source


@dataclass
class FakeFrames:
    """A publisher that only looks on."""

    epochs: list[Epoch] = field(default_factory=list)

    def attach(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def wake(self) -> None:
        pass


@dataclass
class FakeReports:
    """Remembers what it was told."""

    statuses: list[CameraStatus] = field(default_factory=list)
    events: list[LogEvent] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    broken: Exception | None = None

    def status(self, status: CameraStatus) -> None:
        if self.broken is not None:
            raise self.broken
        self.statuses.append(status)

    def forget(self, camera_id: str) -> None:
        self.forgotten.append(camera_id)

    def event(self, event: LogEvent) -> None:
        self.events.append(event)

    def states(self, camera_id: str | None = None) -> list[StreamState]:
        return [
            status.state
            for status in self.statuses
            if camera_id is None or status.camera_id == camera_id
        ]


@dataclass
class FakeGauges:
    """Remembers what it was shown last."""

    frames: Mapping[str, int] = field(default_factory=dict)
    size: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[StreamState, int] = field(default_factory=dict)

    def waiting(self, frames: Mapping[str, int], size: Mapping[str, int]) -> None:
        self.frames, self.size = frames, size

    def streams(self, states: Mapping[StreamState, int]) -> None:
        self.states = states


@dataclass
class FakeWait:
    """Lets waits end at once, unless they are held; remembers how long they would have been."""

    seconds: list[float] = field(default_factory=list)
    held: bool = False
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, event: asyncio.Event, seconds: float) -> None:
        self.seconds.append(seconds)
        if self.held:
            over = asyncio.ensure_future(self._over.wait())
            await asyncio.wait(
                [over, ended := asyncio.ensure_future(event.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            over.cancel()
            ended.cancel()
        await asyncio.sleep(0)

    def let_go(self) -> None:
        """Ends the waits that are held, and holds no more."""
        self.held = False
        self._over.set()


@dataclass
class Setting:
    """Everything around a stage."""

    sources: FakeSources = field(default_factory=FakeSources)
    frames: FakeFrames = field(default_factory=FakeFrames)
    reports: FakeReports = field(default_factory=FakeReports)
    gauges: FakeGauges = field(default_factory=FakeGauges)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    wait: FakeWait = field(default_factory=FakeWait)
    large: LargePictures = lambda *_: None
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    max_retries: int = 0
    same_password: SamePassword = eq
    patience: float = 50.0

    def parts(self) -> StageParts:
        epochs = iter(range(1, 1000))
        return StageParts(
            sources=self.sources,
            frames=self.frames,
            reports=self.reports,
            gauges=self.gauges,
            clock=self.clock,
            policy=CapturePolicy(instance_id="camera-0", new_epoch=lambda _: next(epochs)),
            backoff=Backoff(random=lambda: 1.0),
            turns=Turns(self.limits),
            large=self.large,
            max_retries=self.max_retries,
            same_password=self.same_password,
            patience=self.patience,
            wait=self.wait,
        )


def a_live_camera(**changes: object) -> Camera:
    stream = StreamConfig(stream_type=StreamType.RTSP, url="rtsp://camera/live")
    return a_camera(**{"stream": stream, **changes})


def an_error(code: ErrorCode = ErrorCode.UNREACHABLE) -> SourceError:
    return SourceError(code, f"it is {code}")


def frames(count: int) -> list[FakeFrame]:
    """Frames at five a second, all of which the default limit keeps."""
    return [FakeFrame(media_time=n / 5) for n in range(count)]


class FakeSender:
    """A producer whose broker answers when it is polled, as it is told to."""

    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.error: MeshError | None = None
        """What the broker answers."""
        self.refusal: MeshError | None = None
        """What `send` raises."""
        self.refused: set[str] | None = None
        """Only for these topics, if given."""
        self.silent = False
        self._waiting: list[tuple[Output, Callable[[MeshError | None], None]]] = []

    def send(
        self, output: Output, on_delivery: Callable[[MeshError | None], None] | None = None
    ) -> None:
        concerned = self.refused is None or output.topic in self.refused
        if self.refusal is not None and concerned:
            raise self.refusal
        assert on_delivery is not None
        self._waiting.append((output, on_delivery))

    def poll(self, timeout: timedelta = timedelta(0)) -> None:
        if self.silent:
            return
        waiting, self._waiting = self._waiting, []
        for output, heard in waiting:
            if self.error is None:
                self.sent.append(output)
            heard(self.error)

    def events(self, topic: str) -> list[object]:
        return [output.event for output in self.sent if output.topic == topic]
