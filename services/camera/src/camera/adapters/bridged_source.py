"""Cameras that are read by coroutines, as sources that block; one event loop serves them all."""

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from camera.adapters.jpeg_frame import JpegFrame
from camera.domain.life import ErrorCode
from camera.ports import SourceError

_GRACE_SECONDS = 5.0
"""A coroutine that is over time by so much hangs in a bug."""
_CLOSE_SECONDS = 2.0
_END_SECONDS = 5.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Received:
    """One whole picture and all that came with it."""

    jpeg: bytes
    width: int
    height: int
    size: int
    """Bytes received since the picture before."""
    taken: datetime | None = None
    """When the camera says that it was taken, UTC."""


class PictureStream(Protocol):
    """One connection to one camera, used by one coroutine at a time; any of them may be cancelled.

    It needs no time-outs of its own.
    """

    transport: str
    passed_over: Counter[str]
    """What was left out since it was made, by reason."""

    async def open(self) -> None:
        """Connects.

        Raises:
            SourceError: The camera cannot be reached, or refuses.
        """

    async def read(self) -> Sequence[Received]:
        """The next whole pictures, one at least; none once the camera has ended the stream.

        Raises:
            SourceError: The connection broke.
        """

    async def close(self) -> None:
        """Ends the connection; repeatable, and allowed before `open`."""


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="camera-network", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Begins a coroutine; cancelling the future cancels it.

        Raises:
            RuntimeError: The loop is closed.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise

    def close(self) -> None:
        """Cancels what runs and ends the loop; repeatable."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


class BridgedSource:
    """A `FrameSource` over a `PictureStream`.

    The reader takes every picture as it comes, and nothing waits in between: what is too much is
    dropped, and counted, after sampling. A picture must be whole within the time-out, however many
    bytes trickle in.

    Args:
        stream: Reads the camera.
        loop: Where it does.
        timeout: To connect, and from picture to picture, seconds.
    """

    codec = "mjpeg"

    def __init__(
        self,
        stream: PictureStream,
        loop: LoopThread,
        timeout: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._loop = loop
        self._timeout = timeout
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._interrupted = False
        self._work: concurrent.futures.Future[Any] | None = None
        """What a reader waits for."""
        self._ready: deque[Received] = deque()
        self._last = float("-inf")

    @property
    def transport(self) -> str:
        """What the bytes travel in."""
        return self._stream.transport

    @property
    def passed_over(self) -> Counter[str]:
        """Pictures that were left out, by reason."""
        return self._stream.passed_over

    @property
    def own_seconds(self) -> float:
        """All such cameras share a thread, where none has a time of its own."""
        return 0.0

    def open(self) -> None:
        """Connects; blocks for at most the camera's time-out."""
        late = SourceError(ErrorCode.TIMEOUT, f"no answer for {self._timeout:g} s")
        self._run(self._stream.open(), lambda: late)

    def read(self) -> JpegFrame | None:
        """The next whole picture; nothing once the camera has ended the stream."""
        if not self._ready:
            before = self._stream.passed_over.total()
            self._ready.extend(
                self._run(self._stream.read(), lambda: self._no_picture(before)) or ()
            )
        if self._interrupted or not self._ready:
            return None
        received = self._ready.popleft()
        self._last = max(self._last, self._monotonic())
        return JpegFrame(
            image=received.jpeg,
            width=received.width,
            height=received.height,
            media_time=self._last,
            size=received.size,
            claimed=received.taken,
        )

    def wants(self, fps: float) -> None:
        """Pictures cost nothing before one is wanted."""

    def catch_up(self) -> None:
        """Nothing to leave out: taking JPEG pictures as they are costs next to nothing."""

    def interrupt(self) -> None:
        """Ends a blocked `open` or `read` of another thread at once."""
        with self._lock:
            self._interrupted = True
            if self._work is not None:
                self._work.cancel()

    def close(self) -> None:
        """Ends the connection; blocks for at most two seconds."""
        self.interrupt()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and with it the connection
            closing = self._loop.submit(self._stream.close())
            try:
                closing.result(_CLOSE_SECONDS)
            except TimeoutError:
                closing.cancel()

    def _run(self, work: Coroutine[Any, Any, T], late: Callable[[], SourceError]) -> T | None:
        """Waits for a coroutine; nothing comes of it if it was interrupted."""
        with self._lock:
            if self._interrupted:
                work.close()
                return None
            running = self._loop.submit(self._in_time(work, late))
            self._work = running
        try:
            return running.result(self._timeout + _GRACE_SECONDS)
        except concurrent.futures.CancelledError:
            return None
        except TimeoutError:
            running.cancel()
            raise late() from None

    async def _in_time(self, work: Coroutine[Any, Any, T], late: Callable[[], SourceError]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await work
        except TimeoutError:
            raise late() from None

    def _no_picture(self, before: int) -> SourceError:
        seconds, broken = self._timeout, self._stream.passed_over.total() - before
        if not broken:
            return SourceError(ErrorCode.FROZEN, f"no whole picture for {seconds:g} s")
        reasons = ", ".join(sorted(self._stream.passed_over))
        return SourceError(
            ErrorCode.UNREADABLE,
            f"for {seconds:g} s nothing came but what is no whole picture: {reasons}",
        )
