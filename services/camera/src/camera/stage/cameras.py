"""The use case: keep the streams of this replica's cameras running."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from camera.domain.backoff import Backoff
from camera.domain.capture import Capture, CapturePolicy, connection_event, idle_status
from camera.domain.frames import Arrival
from camera.domain.life import ErrorCode
from camera.domain.ownership import owned
from camera.ports import (
    FramePublisher,
    FrameSource,
    SourceError,
    SourceFactory,
    StatusPublisher,
    VideoFrame,
)
from mesh.clock import Clock
from mesh.events import Camera, StreamState
from mesh.logs import get_logger

_CRASHED = SourceError(ErrorCode.CRASHED, "reading this camera ended in a bug; see the log")
_HAND_OVER_SECONDS = 2.0
"""A changed stream waits this long for the old connection to go before it makes its own."""

Wait = Callable[[asyncio.Event, float], Awaitable[None]]


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, or after so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageParts:
    """What every stream of the stage shares."""

    sources: SourceFactory
    frames: FramePublisher
    reports: StatusPublisher
    clock: Clock
    policy: CapturePolicy
    backoff: Backoff = field(default_factory=Backoff)
    wait: Wait = wait_for_event


class _Connection:
    """One connection and the thread that reads it."""

    def __init__(self, parts: StageParts, capture: Capture, on_live: Callable[[], None]) -> None:
        self._parts = parts
        self._capture = capture
        self._on_live = on_live
        self._over = False
        self._source: FrameSource | None = None
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[SourceError | None] = self._loop.create_future()
        self.gone = asyncio.Event()
        """Set once the thread has let go of the camera."""

    async def read(self) -> SourceError | None:
        """Reads until the connection ends: why it did, or nothing if it was asked to end."""
        name = f"camera-{self._capture.camera.camera_id[-12:]}"
        threading.Thread(target=self._run, name=name, daemon=True).start()
        return await self._outcome

    def end(self) -> None:
        """Ends at once as far as anybody can see; the thread follows when its read returns."""
        self._over = True
        self._capture.close_session()
        if self._source is not None:
            self._source.interrupt()
        self._resolve(None)

    def _run(self) -> None:
        outcome: SourceError | None = _CRASHED
        try:
            outcome = self._read()
        finally:
            self._capture.close_session()
            # The loop is closed only when the process ends: nobody waits for the answer then.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._resolve, outcome)
                self._loop.call_soon_threadsafe(self.gone.set)

    def _read(self) -> SourceError | None:
        try:
            self._source = source = self._parts.sources(self._capture.camera)
            with contextlib.closing(source):
                source.open()
                self._pump(source)
        except SourceError as error:
            return error
        return None

    def _pump(self, source: FrameSource) -> None:
        live = False
        while not self._over and (frame := source.read()) is not None:
            if self._over:
                return
            arrival = self._arrival(frame)
            if not live:
                self._parts.frames.attach(self._capture.open_session(arrival.received))
            kept = self._capture.keeps(arrival)
            if not live:
                self._loop.call_soon_threadsafe(self._on_live)
                live = True
            if kept:
                self._keep(frame, arrival)
        if not self._over:
            raise SourceError(ErrorCode.STREAM_ENDED, "the stream ended")

    def _arrival(self, frame: VideoFrame) -> Arrival:
        return Arrival(
            received=self._parts.clock.now(),
            monotonic=self._parts.clock.monotonic(),
            media_time=frame.media_time,
            claimed=frame.claimed,
            source=frame.source,
            width=frame.width,
            height=frame.height,
            size=frame.size,
        )

    def _keep(self, frame: VideoFrame, arrival: Arrival) -> None:
        image = frame.jpeg()
        if image is None:
            self._capture.waste("too_large")
        elif self._capture.offer(arrival, image, self._parts.clock.now()):
            self._parts.frames.wake()

    def _resolve(self, outcome: SourceError | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)


class _Stream:
    """One camera from when it is taken up until it is let go: connects again and again."""

    def __init__(self, parts: StageParts, camera: Camera) -> None:
        self.capture = Capture(camera, parts.policy, parts.clock.now())
        self._parts = parts
        self._log = get_logger("camera.stage")
        self._ending = asyncio.Event()
        self._connection: _Connection | None = None
        self._began = parts.clock.monotonic()

    @property
    def gone(self) -> asyncio.Event | None:
        """Set once the last connection's thread has ended, if there ever was one."""
        return None if self._connection is None else self._connection.gone

    async def run(self, after: asyncio.Event | None = None) -> None:
        """Keeps the camera connected until `end` is called or its file is over."""
        if after is not None:
            await self._parts.wait(after, _HAND_OVER_SECONDS)
        while not self._ending.is_set():
            self._announce("connecting")
            self._began = self._parts.clock.monotonic()
            self._connection = _Connection(self._parts, self.capture, self._went_live)
            error = await self._connection.read()
            self.capture.close_session()
            if error is None or self._ending.is_set() or self._is_final(error):
                break
            delay = self._failed(error)
            await self._parts.wait(self._ending, delay)
            if not self._ending.is_set():
                self.capture.life = self.capture.life.connecting()

    def end(self) -> None:
        """Ends the stream; nothing it reads from now on is published."""
        self._ending.set()
        if self._connection is not None:
            self._connection.end()
        self.capture.close_session()

    def stopped(self, details: str) -> None:
        """Tells that the stream is over, if that is not known."""
        if self.capture.life.state is not StreamState.STOPPED:
            self.capture.life = self.capture.life.stopped(self._parts.clock.now())
            self._announce(details)

    def report(self) -> None:
        """Publishes the present status."""
        clock = self._parts.clock
        self._parts.reports.status(self.capture.status(clock.now(), clock.monotonic()))

    def _went_live(self) -> None:
        if self._ending.is_set():
            return
        clock, attempt = self._parts.clock, self.capture.life.attempts
        self.capture.life = self.capture.life.went_live(clock.now())
        kind = self.capture.camera.stream.stream_type
        latency_ms = f"{1000 * (clock.monotonic() - self._began):.0f}"
        self._announce(
            f"{kind} connection established",
            connection_attempt=str(attempt),
            latency_ms=latency_ms,
        )

    def _is_final(self, error: SourceError) -> bool:
        """Whether this is the end of a file that is shown once."""
        stream = self.capture.camera.stream
        if error.code is not ErrorCode.STREAM_ENDED or not self._shown_once():
            return False
        now = self._parts.clock.now()
        self.capture.life = self.capture.life.stopped(now, error.code, str(error))
        self._announce(f"the {stream.stream_type} is over")
        return True

    def _shown_once(self) -> bool:
        stream = self.capture.camera.stream
        return stream.stream_type.value == "FILE" and not stream.loop

    def _failed(self, error: SourceError) -> float:
        now = self._parts.clock.now()
        failed = self.capture.life.failed(now, error.code, str(error))
        delay = self._parts.backoff.delay(failed.failures, error.code)
        self.capture.life = failed.retrying_at(now + delay)
        self._announce(str(error))
        return delay.total_seconds()

    def _announce(self, details: str, **attributes: str) -> None:
        clock = self._parts.clock
        status = self.capture.status(clock.now(), clock.monotonic())
        event = connection_event(status, clock.now(), details, attributes)
        self._parts.reports.status(status)
        self._parts.reports.event(event)
        camera = {"camera_id": status.camera_id, "camera_name": status.camera_name}
        self._log.info("camera_connection", camera=camera, **event.attributes)


class CameraStage:
    """Runs one stream for every camera that is registered, switched on and this replica's.

    Made and used in one event loop. Nothing is connected before the whole registry is known.

    Args:
        parts: What the streams need.
        partition_of: Partition of a key of the topic `cameras`.
        node: Name of this replica's node, for cameras that hang on it.
    """

    def __init__(
        self, parts: StageParts, *, partition_of: Callable[[str], int], node: str | None = None
    ) -> None:
        self._parts = parts
        self._partition_of = partition_of
        self._node = node
        self._registry: dict[str, Camera] = {}
        self._known = False
        self._partitions: set[int] = set()
        self._streams: dict[str, _Stream] = {}
        self._idle: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what ended a stream's task, should a bug do that."""

    @property
    def running(self) -> Collection[str]:
        """Ids of the cameras that have a stream."""
        return self._streams.keys()

    def registry_known(self) -> None:
        """Everything that was registered has been read."""
        self._known = True
        self._reconcile()

    def changed(self, camera_id: str, camera: Camera | None) -> None:
        """A camera was registered, changed, or deleted."""
        if camera is not None:
            self._registry[camera_id] = camera
            self._reconcile()
            return
        deleted = self._registry.pop(camera_id, None)
        self._reconcile()
        if deleted is not None and self._known and self._owned([deleted]):
            self._parts.reports.forget(camera_id)

    def assigned(self, partitions: Collection[int]) -> None:
        """Kafka gave this replica more partitions of `cameras`."""
        self._partitions |= set(partitions)
        self._reconcile()

    def revoked(self, partitions: Collection[int]) -> None:
        """Kafka took partitions away; their streams end before this returns."""
        self._partitions -= set(partitions)
        self._reconcile()

    def report(self) -> None:
        """Publishes the status of every stream."""
        for stream in self._streams.values():
            stream.report()

    def stop(self) -> None:
        """Ends every stream and says so: the replica goes away."""
        self._known = False
        for camera_id in list(self._streams):
            stream = self._let_go(camera_id)
            stream.stopped("the replica that read this camera stops")

    def _reconcile(self) -> None:
        if not self._known:
            return
        mine = self._owned(self._registry.values())
        wanted = {key: camera for key, camera in mine.items() if camera.detection.enabled}
        for camera_id in self._streams.keys() - wanted.keys():
            stream = self._let_go(camera_id)
            if camera_id in mine:
                stream.stopped("the camera was switched off")
                self._idle.add(camera_id)
        self._tell_idle({key: mine[key] for key in mine.keys() - wanted.keys()})
        for camera_id, camera in wanted.items():
            self._apply(camera_id, camera)

    def _apply(self, camera_id: str, camera: Camera) -> None:
        """Starts a stream, connects it anew where it must be, or changes its settings."""
        present = self._streams.get(camera_id)
        if present is None:
            self._start(camera, after=None)
        elif present.capture.camera.stream != camera.stream:
            self._let_go(camera_id)
            self._start(camera, after=present.gone)
        elif present.capture.camera != camera:
            epoch = present.capture.adopt(camera, self._parts.clock.now())
            if epoch is not None:
                self._parts.frames.attach(epoch)

    def _start(self, camera: Camera, after: asyncio.Event | None) -> None:
        stream = _Stream(self._parts, camera)
        self._streams[camera.camera_id] = stream
        task = asyncio.get_running_loop().create_task(stream.run(after))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.broken.done():
            self.broken.set_exception(error)

    def _let_go(self, camera_id: str) -> "_Stream":
        stream = self._streams.pop(camera_id)
        stream.end()
        return stream

    def _tell_idle(self, cameras: dict[str, Camera]) -> None:
        """Says once of every camera that is switched off that it is."""
        for camera_id in cameras.keys() - self._idle:
            clock, policy = self._parts.clock, self._parts.policy
            status = idle_status(cameras[camera_id], policy.instance_id, clock.now())
            self._parts.reports.status(status)
        self._idle = set(cameras)

    def _owned(self, cameras: Collection[Camera]) -> dict[str, Camera]:
        return owned(
            cameras,
            node=self._node,
            partitions=self._partitions,
            partition_of=self._partition_of,
        )
