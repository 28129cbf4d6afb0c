"""A camera that sends the same scene twice: large, and small for detection."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from camera.adapters.restamped import SamePicture
from camera.domain.backoff import Backoff
from camera.domain.life import STABLE_AFTER, ErrorCode
from camera.ports import ConnectionTurns, FrameSource, SourceError, Turn, VideoFrame
from mesh.events import TimestampSource
from mesh.logs import get_logger

_KEPT = 8
"""Small pictures that are held: the two streams of a camera are some frames apart."""
_APART_SECONDS = 0.3
"""Pictures that are farther apart do not show the same moment."""
_LINGER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Small:
    frame: VideoFrame
    arrived: float


@dataclass(frozen=True, slots=True)
class PairedFrame(SamePicture):
    """A large picture, and the small one of the same moment if there is one."""

    small: VideoFrame | None
    size: int

    @property
    def media_time(self) -> float:
        """Place in the large stream, seconds."""
        return self.frame.media_time

    @property
    def claimed(self) -> datetime | None:
        """When the camera says the large picture was taken, UTC."""
        return self.frame.claimed

    @property
    def source(self) -> TimestampSource:
        """How the camera said it."""
        return self.frame.source

    def small_jpeg(self) -> bytes | None:
        """The small picture."""
        return None if self.small is None else self.small.jpeg()


class AtOnce:
    """Turns that nobody has to wait for."""

    granted = True

    def ask(self, host: str, granted: Callable[[], None], *, again: bool) -> Turn:
        """It has come."""
        del host, granted, again
        return self

    def leave(self) -> None:
        """Nobody else waits for it."""


class TwoStreams:
    """Reads the main stream, and beside it the second one in a thread of its own.

    The main stream alone says how the camera is: while the second is away, it is tried again as
    seldom as a camera would be, and frames have no small picture.

    Args:
        main: The main stream.
        second: Makes a connection to the second stream.
        monotonic: Tells when small pictures arrive, seconds.
        backoff: When the second stream is tried again.
        wait: Waits for so many seconds or until the event is set.
        turns: Whose turn it is to connect.
        host: What the second stream hangs on.
    """

    def __init__(
        self,
        main: FrameSource,
        second: Callable[[], FrameSource],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        backoff: Backoff | None = None,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
        turns: ConnectionTurns | None = None,
        host: str = "",
    ) -> None:
        self._main = main
        self._second = second
        self._monotonic = monotonic
        self._backoff = backoff or Backoff()
        self._wait = wait
        self._log = get_logger("camera.second_stream")
        self._lock = threading.Lock()
        self._small: deque[_Small] = deque(maxlen=_KEPT)
        self._received = 0
        self._own_seconds = 0.0
        self._turns = turns or AtOnce()
        self._host = host
        self._stop = threading.Event()
        self._stirred = threading.Event()
        """Ends the wait for a turn: it has come, or none is wanted any more."""
        self._behind = threading.Event()
        self._shows_since: float | None = None
        """When the present connection to the second stream showed its first picture."""
        self._thread: threading.Thread | None = None

    @property
    def transport(self) -> str | None:
        """Of the main stream."""
        return self._main.transport

    @property
    def codec(self) -> str | None:
        """Of the main stream."""
        return self._main.codec

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Of the main stream."""
        return self._main.passed_over

    @property
    def own_seconds(self) -> float:
        """Processor time of the second stream's thread."""
        return self._own_seconds

    def open(self) -> None:
        """Connects the main stream, and begins to connect the second."""
        self._main.open()
        self._thread = threading.Thread(target=self._follow, name="second-stream", daemon=True)
        self._thread.start()

    def read(self) -> VideoFrame | None:
        """The next picture of the main stream with the nearest of the second."""
        frame = self._main.read()
        if frame is None:
            return None
        now = self._monotonic()
        with self._lock:
            nearest = min(self._small, key=lambda one: _apart(one, frame, now), default=None)
            received, self._received = self._received, 0
        near = nearest is not None and _apart(nearest, frame, now) <= _APART_SECONDS
        small = nearest.frame if nearest is not None and near else None
        return PairedFrame(frame, small, frame.size + received)

    def wants(self, fps: float) -> None:
        """The first stream may leave pictures out; the small ones are cheap, and looked up."""
        self._main.wants(fps)

    def catch_up(self) -> None:
        """Both streams do: what holds one up holds up the other."""
        self._main.catch_up()
        self._behind.set()

    def interrupt(self) -> None:
        """Interrupts both streams."""
        self._end_second()
        self._main.interrupt()

    def close(self) -> None:
        """Ends both connections; the second one's thread follows when its read returns."""
        self._end_second()
        self._main.close()
        if self._thread is not None:
            self._thread.join(_LINGER_SECONDS)

    def _end_second(self) -> None:
        self._stop.set()
        self._stirred.set()

    def _follow(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._shows_since = None
            error = self._attempt(again=failures > 0)
            if self._stop.is_set():
                return
            failures = 1 if self._was_stable() else failures + 1
            delay = self._backoff.delay(failures, error.code).total_seconds()
            self._log.warning(
                "second_stream_failed",
                code=error.code.value,
                reason=str(error),
                retry_seconds=round(delay, 1),
            )
            self._wait(self._stop, delay)

    def _was_stable(self) -> bool:
        since = self._shows_since
        return since is not None and self._monotonic() - since >= STABLE_AFTER.total_seconds()

    def _attempt(self, *, again: bool) -> SourceError:
        """Reads the second stream until it fails; or until it is asked to end."""
        turn = self._turns.ask(self._host, self._stirred.set, again=again)
        try:
            if self._comes(turn):
                with contextlib.closing(self._second()) as source:
                    self._read_second(source, turn)
        except SourceError as error:
            return error
        except Exception:  # noqa: BLE001 -- a bug there must not end the small pictures for good
            self._log.exception("second_stream_crashed")
            return SourceError(ErrorCode.CRASHED, "reading the second stream ended in a bug")
        finally:
            turn.leave()
        return SourceError(ErrorCode.STREAM_ENDED, "it was asked to end")

    def _comes(self, turn: Turn) -> bool:
        """Waits for a turn to connect; whether it is still wanted."""
        while not (turn.granted or self._stop.is_set()):
            self._stirred.wait()
            self._stirred.clear()
        return not self._stop.is_set()

    def _read_second(self, source: FrameSource, turn: Turn) -> None:
        source.open()
        while not self._stop.is_set():
            if self._behind.is_set():
                self._behind.clear()
                source.catch_up()
            frame = source.read()
            if frame is None:
                raise SourceError(ErrorCode.STREAM_ENDED, "the second stream ended")
            now = self._monotonic()
            if self._shows_since is None:
                self._shows_since = now
                turn.leave()
            with self._lock:
                self._small.append(_Small(frame, now))
                self._received += frame.size
            self._own_seconds = time.thread_time()


def _apart(small: _Small, frame: VideoFrame, now: float) -> float:
    """Seconds between two pictures: by the camera's clock if it told both, else by arrival."""
    if small.frame.claimed is not None and frame.claimed is not None:
        return abs((small.frame.claimed - frame.claimed).total_seconds())
    return abs(small.arrived - now)
