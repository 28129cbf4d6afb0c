"""One connection to a camera and the thread that reads it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

from camera.domain.capture import Capture
from camera.domain.frames import Arrival
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError, VideoFrame
from camera.stage.parts import StageParts

_CRASHED = SourceError(ErrorCode.CRASHED, "reading this camera ended in a bug; see the log")


class Connection:
    """One connection and the thread that reads it."""

    def __init__(self, parts: StageParts, capture: Capture, on_live: Callable[[], None]) -> None:
        self._parts = parts
        self._capture = capture
        self._on_live = on_live
        self._lock = threading.Lock()
        self._over = self._asked = False
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
            arrival = self._arrival(frame)
            if not live and not self._open_session(arrival):
                return
            kept = self._capture.keeps(arrival)
            if not live:
                self._loop.call_soon_threadsafe(self._tell_live)
                live = True
            if kept:
                self._keep(frame, arrival)
        if not self._over:
            raise SourceError(ErrorCode.STREAM_ENDED, "the stream ended")

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

    def _tell_live(self) -> None:
        if not self._asked:
            self._on_live()

    def _resolve(self, outcome: SourceError | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)
