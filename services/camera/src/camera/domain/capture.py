"""Everything about the stream of one camera that is not input or output."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from camera.domain.frames import Arrival, frame_captured, lane_of
from camera.domain.life import Life
from mesh.events import Camera, CameraStatus, LogEvent, Overload, StreamState
from mesh.identity import new_epoch, new_id
from mesh.source.epoch import Epoch
from mesh.source.ring import Allowance, RingLimits
from mesh.source.sampling import Sampler, phase_of
from mesh.source.statistics import Meter, Statistics
from mesh.source.timestamps import camera_time

SPOOL_FRAMES = 600
SPOOL_BYTES = 64 * 1024 * 1024
_WORDS = {
    StreamState.CONNECTING: "connecting",
    StreamState.LIVE: "connected",
    StreamState.ERROR: "disconnected",
    StreamState.STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePolicy:
    """How many frames may wait for the broker."""

    instance_id: str
    live: RingLimits = field(default_factory=RingLimits)
    evidence: RingLimits = field(
        default_factory=lambda: RingLimits(
            frames=SPOOL_FRAMES, size=SPOOL_BYTES, reason="spool_full"
        )
    )
    """For cameras whose frames must not be shed: they wait while the broker is away."""
    together: Allowance = field(default_factory=Allowance)
    """What all such cameras of this process may hold."""
    meter: Meter | None = None
    new_epoch: Callable[[datetime], int] = new_epoch


class Capture:
    """Life, statistics, sampling and epochs of one stream; thread-safe.

    One thread brings frames, another asks for the status and changes the settings.
    """

    def __init__(self, camera: Camera, policy: CapturePolicy, now: datetime) -> None:
        self.camera = camera
        """Settings in force; replaced as a whole by `adopt`."""
        self.life = Life.begin(now)
        self._policy = policy
        self._lock = threading.RLock()
        self._statistics = Statistics(policy.meter)
        self._sampler = self._new_sampler()
        evidence = policy.evidence
        self._spool = Allowance(frames=evidence.frames, size=evidence.size, within=policy.together)
        self._epoch: Epoch | None = None
        self._session_id: str | None = None
        self._last: Arrival | None = None

    @property
    def must_go_on(self) -> bool:
        """Whether frames are captured even while nothing can be published."""
        return self.camera.detection.overload is Overload.ALL

    def open_session(self, now: datetime) -> Epoch:
        """A new connection was made: its frames are numbered from 0."""
        with self._lock:
            self._session_id = new_id("sess")
            self._sampler = self._new_sampler()
            self._statistics.restart_window()
            return self._open_epoch(now)

    def close_session(self) -> None:
        """The connection is over; repeatable."""
        with self._lock:
            if self._epoch is not None:
                self._epoch.close()

    def adopt(self, camera: Camera, now: datetime) -> Epoch | None:
        """Goes on with new settings; a new epoch if lane or overload changed while connected."""
        with self._lock:
            before, after = self.camera.detection, camera.detection
            changed = lane_of(after) is not lane_of(before) or after.overload != before.overload
            self.camera = camera
            self._sampler.limit = camera.detection.fps_limit
            return self._open_epoch(now) if changed and self._epoch is not None else None

    def keeps(self, arrival: Arrival) -> bool:
        """Counts a decoded frame; whether sampling keeps it."""
        taken = camera_time(arrival.received, arrival.claimed, arrival.source)
        with self._lock:
            self._last = arrival
            latency = taken.latency(arrival.received)
            self._statistics.arrived(arrival.monotonic, arrival.size, latency)
            if self._sampler.keeps(arrival.media_time):
                return True
            self._statistics.skipped()
            return False

    def offer(self, arrival: Arrival, image: bytes, ended_at: datetime) -> bool:
        """Lets a sampled frame wait for the broker; False if the session is over."""
        with self._lock:
            epoch, camera = self._epoch, self.camera
            return epoch is not None and epoch.offer(
                lambda sequence: frame_captured(
                    camera,
                    arrival,
                    image,
                    epoch=epoch.number,
                    lane=epoch.lane,
                    sequence=sequence,
                    instance_id=self._policy.instance_id,
                    ended_at=ended_at,
                )
            )

    def waste(self, reason: str) -> None:
        """Gives a sampled frame up that cannot be published."""
        with self._lock:
            if self._epoch is not None:
                self._epoch.waste(reason)

    def status(self, now: datetime, monotonic: float) -> CameraStatus:
        """How the stream is."""
        with self._lock:
            life, last = self.life, self._last
            figures = self._statistics.figures(monotonic)
            return CameraStatus(
                camera_id=self.camera.camera_id,
                camera_name=self.camera.name,
                session_id=self._session_id,
                epoch=None if self._epoch is None else self._epoch.number,
                instance_id=self._policy.instance_id,
                state=life.state,
                started_at=life.started_at,
                established_at=life.established_at,
                last_frame_at=None if last is None else last.received,
                next_retry_at=life.next_retry_at,
                reconnection_attempts=life.attempts,
                connection_resets=life.resets,
                total_downtime_seconds=life.downtime(now).total_seconds(),
                frames_captured=figures.captured,
                frames_queued=figures.queued,
                frames_dropped=figures.dropped,
                frames_skipped=figures.skipped,
                avg_fps=round(figures.fps, 3),
                avg_latency_ms=figures.latency_ms,
                bandwidth_mbps=round(figures.megabits_per_second, 4),
                width=None if last is None else last.width,
                height=None if last is None else last.height,
                is_healthy=life.state is StreamState.LIVE and figures.fps > 0,
                error_count=life.errors,
                error_code=life.error_code,
                last_error=life.last_error,
                updated_at=now,
            )

    def _new_sampler(self) -> Sampler:
        return Sampler(self.camera.detection.fps_limit, phase_of(self.camera.camera_id))

    def _open_epoch(self, now: datetime) -> Epoch:
        self.close_session()
        lane = lane_of(self.camera.detection)
        self._epoch = Epoch(
            self.camera.camera_id,
            self._policy.new_epoch(now),
            lane,
            limits=self._limits(),
            statistics=self._statistics,
        )
        return self._epoch

    def _limits(self) -> RingLimits:
        if self.must_go_on:
            return replace(self._policy.evidence, shared=self._spool)
        return self._policy.live


def idle_status(camera: Camera, instance_id: str, now: datetime) -> CameraStatus:
    """The status of a camera that is switched off."""
    return CameraStatus(
        camera_id=camera.camera_id,
        camera_name=camera.name,
        instance_id=instance_id,
        state=StreamState.STOPPED,
        updated_at=now,
    )


def connection_event(
    status: CameraStatus, now: datetime, details: str, more: Mapping[str, str]
) -> LogEvent:
    """A transition as the event `camera_connection` (specification 8.1.2).

    Args:
        status: How the stream is after it.
        now: When it happened.
        details: What happened, for people.
        more: Further attributes, or better values of the usual ones.
    """
    attributes = {
        "status": _WORDS[status.state],
        "connection_attempt": str(status.reconnection_attempts),
        "details": details,
    }
    if status.error_code is not None:
        attributes["error_code"] = status.error_code
    return LogEvent(
        event_id=new_id("evt"),
        event_type="camera_connection",
        occurred_at=now,
        severity="warning" if status.state is StreamState.ERROR else "info",
        service="camera",
        instance_id=status.instance_id,
        camera_id=status.camera_id,
        camera_name=status.camera_name,
        message=details,
        attributes={**attributes, **more},
    )
