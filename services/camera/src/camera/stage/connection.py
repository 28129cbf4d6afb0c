"""One connection to a camera and the thread that reads it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

from camera.domain.capture import Capture
from camera.domain.frames import LARGEST_BYTES, Arrival, Pictures, lane_of
from camera.domain.life import ErrorCode
from camera.domain.status import Notice
from camera.ports import FrameSource, SourceError, VideoFrame
from camera.stage.parts import StageParts
from mesh.events import INLINE_BYTES

P = ParamSpec("P")
_CRASHED = SourceError(ErrorCode.CRASHED, "reading this camera ended in a bug; see the log")

_ROOM_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a connection tells, in the event loop."""

    live: Callable[[], None]
    """The first picture came."""
    noticed: Callable[[Notice], None]
    """Something happened that people should hear of."""
    gone: Callable[[], None]
    """The thread has let go of the camera."""


class Connection:
    """One connection and the thread that reads it."""

    def __init__(self, parts: StageParts, capture: Capture, hooks: Hooks) -> None:
        self._parts = parts
        self._capture = capture
        self._hooks = hooks
        self._lock = threading.Lock()
        self._over = self._asked = False
        self._source: FrameSource | None = None
        self._spent = 0.0
        """Processor seconds of the thread, and of those beside it, up to the frame before."""
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[SourceError | None] = self._loop.create_future()
        self._heard = parts.clock.monotonic()
        """When the last picture came, or the connection began."""
        self.gone = asyncio.Event()
        """Set once the thread has let go of the camera."""

    @property
    def silent_seconds(self) -> float:
        """How long ago the last picture came; of an attempt, how long ago it began."""
        return self._parts.clock.monotonic() - self._heard

    async def read(self) -> SourceError | None:
        """Reads until the connection ends: why it did, or nothing if it was asked to end."""
        name = f"camera-{self._capture.camera.camera_id[-12:]}"
        threading.Thread(target=self._run, name=name, daemon=True).start()
        return await self._outcome

    def end(self, why: SourceError | None = None) -> None:
        """Ends at once as far as anybody can see; the thread follows when its read returns."""
        self._asked = True
        self._close_session()
        if self._source is not None:
            self._source.interrupt()
        self._resolve(why)

    def _run(self) -> None:
        outcome: SourceError | None = _CRASHED
        try:
            outcome = self._read()
        finally:
            self._close_session()
            self._in_loop(self._resolve, outcome)
            self._in_loop(self._let_go)

    def _read(self) -> SourceError | None:
        try:
            self._source = source = self._parts.sources(self._capture.camera)
            with contextlib.closing(source):
                source.open()
                with self._lock:
                    if self._over:
                        return None
                    self._capture.connected(source.transport, source.codec)
                self._pump(source)
        except SourceError as error:
            return error
        return None

    def _pump(self, source: FrameSource) -> None:
        live = False
        while not self._over and (frame := self._next(source)) is not None:
            arrival = self._capture.dated(self._arrival(frame, source.own_seconds))
            if not live:
                self._refuse_frozen(frame, arrival)
                if not self._open_session(arrival):
                    return
            kept = self._capture.keeps(arrival)
            if not live:
                self._in_loop(self._tell_live)
                live = True
            self._tell_notices()
            if kept:
                self._refuse_frozen(frame, arrival)
                self._keep(frame, arrival)
            self._refuse_stale()
            if self._capture.should_catch_up:
                source.catch_up()
        if not self._over:
            raise SourceError(ErrorCode.STREAM_ENDED, "the stream ended")

    def _next(self, source: FrameSource) -> VideoFrame | None:
        """The next picture; nothing at the end of the stream or once the connection is over.

        A read may return long after that: what it brings is not the next connection's.
        """
        source.wants(self._capture.camera.detection.fps_limit)
        while self._capture.should_wait and not self._over:
            self._parts.clock.sleep(_ROOM_SECONDS)
        try:
            frame = source.read()
        finally:
            self._note_passed_over(source)
        return None if self._over else frame

    def _note_passed_over(self, source: FrameSource) -> None:
        with self._lock:
            if not self._over:
                self._capture.passed_over(source.passed_over)

    def _open_session(self, arrival: Arrival) -> bool:
        """Begins an epoch, unless the connection was asked to end meanwhile."""
        with self._lock:
            if not self._over:
                self._parts.frames.attach(self._capture.open_session(arrival.received))
            return not self._over

    def _close_session(self) -> None:
        """Ends this connection's epoch once; a later one is another connection's."""
        with self._lock:
            if not self._over:
                self._over = True
                self._capture.close_session()

    def _arrival(self, frame: VideoFrame, aside: float) -> Arrival:
        before, self._spent = self._spent, self._parts.thread_seconds() + aside
        self._heard, received = self._parts.clock.monotonic(), self._parts.clock.now()
        claimed = frame.claimed
        return Arrival(
            received=received,
            monotonic=self._heard,
            media_time=frame.media_time,
            claimed=claimed,
            source=frame.source,
            width=frame.width,
            height=frame.height,
            size=frame.size,
            skew=None if claimed is None else (claimed - received).total_seconds(),
            cpu=self._spent - before,
        )

    def _refuse_frozen(self, frame: VideoFrame, arrival: Arrival) -> None:
        """Ends a connection that shows nothing new, so that nobody takes it for live."""
        if self._capture.is_frozen(frame.fingerprint, arrival.monotonic):
            raise SourceError(ErrorCode.FROZEN, "exactly the same picture for too long")

    def _refuse_stale(self) -> None:
        """Ends a connection whose backlog does not shrink: a new one begins with the present."""
        if self._capture.is_behind():
            max_age = self._capture.camera.detection.max_age_ms
            raise SourceError(ErrorCode.STALE, f"all pictures come more than {max_age} ms late")

    def _keep(self, frame: VideoFrame, arrival: Arrival) -> None:
        if self._capture.is_quiet(frame.thumbnail, arrival.media_time):
            return
        pictures = self._pictures(frame, arrival)
        if pictures is None:
            self._capture.waste("too_large")
            return
        with self._lock:
            if self._over:
                return
            taken = self._capture.offer(arrival, pictures, self._parts.clock.now())
        if taken:
            self._parts.frames.wake()

    def _pictures(self, frame: VideoFrame, arrival: Arrival) -> Pictures | None:
        """What travels in the record, or beside it if it is large; coarser without the store."""
        image = frame.jpeg(LARGEST_BYTES)
        if image is not None and len(image) > INLINE_BYTES:
            lane = lane_of(self._capture.camera.detection)
            reference = self._parts.large(image, lane, arrival.received)
            if reference is not None:
                return Pictures(None, frame.small_jpeg(), reference)
            image = frame.jpeg()
        return None if image is None else Pictures(image, frame.small_jpeg())

    def _in_loop(self, call: Callable[P, None], *given: P.args, **_: P.kwargs) -> None:
        """Calls something there, unless the loop is closed: the process ends, nobody waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *given)

    def _tell_live(self) -> None:
        if not self._asked:
            self._hooks.live()

    def _tell_notices(self) -> None:
        for notice in self._capture.notices():
            self._in_loop(self._tell_notice, notice)

    def _tell_notice(self, notice: Notice) -> None:
        if not self._asked:
            self._hooks.noticed(notice)

    def _let_go(self) -> None:
        self.gone.set()
        self._hooks.gone()

    def _resolve(self, outcome: SourceError | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)
