"""How a stream is doing: totals, and averages over the last ten seconds."""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

WINDOW_SECONDS = 10.0


class Meter(Protocol):
    """Counts the frames of all streams of this process; thread-safe."""

    def captured(self, count: int = 1) -> None:
        """Frames came."""

    def skipped(self, count: int = 1) -> None:
        """Sampling left frames out."""

    def gave_up(self, reason: str, count: int) -> None:
        """Frames were given up after sampling."""


class NoMeter:
    """Counts nothing."""

    def captured(self, count: int = 1) -> None:
        """Frames came."""

    def skipped(self, count: int = 1) -> None:
        """Sampling left frames out."""

    def gave_up(self, reason: str, count: int) -> None:
        """Frames were given up after sampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A stream's statistics at one moment."""

    captured: int
    """Frames that came since the stream was taken up."""
    skipped: int
    """Of these, what sampling left out, decoded or not."""
    queued: int
    """Frames that the broker acknowledged."""
    dropped: Mapping[str, int]
    """Frames given up after sampling, and pictures that became no frame, by reason."""
    fps: float
    """Frames that came per second, over the window."""
    latency_ms: float | None
    """Mean over the window; `None` if the camera never told its time."""
    megabits_per_second: float
    """Received, over the window."""
    skew_ms: float | None = None
    """The camera's clock minus ours, by the timeliest frame of the window; `None` if never told."""
    cpu_percent: float | None = None
    """Of one core, over the window; `None` if nobody measured."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    at: float
    size: int
    latency: float | None
    skew: float | None
    cpu: float | None
    pictures: int
    """This one, and those before it that were not decoded."""


class Statistics:
    """Counts since the stream was taken up, and a window of arrivals; thread-safe.

    Args:
        meter: Hears of every count too.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter or NoMeter()
        self._lock = threading.Lock()
        self._captured = self._skipped = self._queued = self._spared = 0
        self._dropped: Counter[str] = Counter()
        self._window: deque[_Arrival] = deque()
        self._since: float | None = None

    def arrived(
        self,
        at: float,
        size: int,
        latency: float | None,
        *,
        skew: float | None = None,
        cpu: float | None = None,
    ) -> None:
        """A frame was decoded.

        Args:
            at: Monotonic seconds.
            size: Bytes received since the frame before.
            latency: Seconds from the camera's clock to ours, if the camera told its time.
            skew: Seconds by which the camera's clock is ahead of ours, as told, credible or not.
            cpu: Processor seconds spent since the frame before.
        """
        with self._lock:
            self._captured += 1
            self._since = at if self._since is None else self._since
            pictures, self._spared = 1 + self._spared, 0
            self._window.append(_Arrival(at, size, latency, skew, cpu, pictures))
            self._forget(at)
        self._meter.captured()

    def skipped(self) -> None:
        """Sampling left a frame out."""
        with self._lock:
            self._skipped += 1
        self._meter.skipped()

    def spared(self, count: int) -> None:
        """Pictures were left out undecoded before the next frame: sampling wants none of them."""
        with self._lock:
            self._captured += count
            self._skipped += count
            self._spared += count
        self._meter.captured(count)
        self._meter.skipped(count)

    def queued(self) -> None:
        """The broker acknowledged a frame."""
        with self._lock:
            self._queued += 1

    def gave_up(self, reason: str, count: int = 1) -> None:
        """Frames were given up after sampling, or pictures before they became any."""
        with self._lock:
            self._dropped[reason] += count
        self._meter.gave_up(reason, count)

    def restart_window(self) -> None:
        """Forgets the window, so that a new connection is not judged by the one before."""
        with self._lock:
            self._window.clear()
            self._since, self._spared = None, 0

    def figures(self, now: float) -> Figures:
        """Totals, and averages of the window that ends now, in monotonic seconds.

        Before the window is full the averages are over the time since the first frame of the
        connection, but at least over one second.
        """
        with self._lock:
            self._forget(now)
            age = 0.0 if self._since is None else now - self._since
            span = min(WINDOW_SECONDS, max(1.0, age))
            known = [arrival.latency for arrival in self._window if arrival.latency is not None]
            skews = [arrival.skew for arrival in self._window if arrival.skew is not None]
            spent = [arrival.cpu for arrival in self._window if arrival.cpu is not None]
            return Figures(
                captured=self._captured,
                skipped=self._skipped,
                queued=self._queued,
                dropped=dict(self._dropped),
                fps=sum(arrival.pictures for arrival in self._window) / span,
                latency_ms=1000 * sum(known) / len(known) if known else None,
                megabits_per_second=sum(one.size for one in self._window) * 8 / 1e6 / span,
                skew_ms=1000 * max(skews) if skews else None,
                cpu_percent=100 * sum(spent) / span if spent else None,
            )

    def _forget(self, now: float) -> None:
        while self._window and self._window[0].at <= now - WINDOW_SECONDS:
            self._window.popleft()
