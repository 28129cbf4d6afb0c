"""Everything about the stream of one camera that is not input or output."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from camera.domain.clocks import CameraClock
from camera.domain.frames import Arrival, Pictures, frame_captured, lane_of
from camera.domain.freezing import Freeze
from camera.domain.life import Life
from camera.domain.motion import MotionGate
from camera.domain.pace import Lateness, Pace
from camera.domain.policy import CapturePolicy
from camera.domain.status import Notice
from mesh.events import Camera, CameraStatus, Overload, StreamState, StreamType, TimestampSource
from mesh.identity import new_id
from mesh.source.epoch import Epoch
from mesh.source.ring import Allowance, RingLimits
from mesh.source.sampling import Sampler, phase_to
from mesh.source.statistics import Statistics
from mesh.source.timestamps import camera_time

_FAST = "fast"
_AHEAD = 20
"""Frames that a fast file may be ahead of the broker: twice what is on its way at a time."""
_LOOK_SECONDS = 0.7
"""Between two looks at what a picture shows; something that blinks once a second is seen."""
_BEHIND_SHARE = 0.5
"""Of the greatest age, from which on a stream leaves pictures out to catch up."""
NOT_WANTED = "not_wanted"
"""Why a source left a picture out undecoded that sampling would leave out."""
_LARGEST = 2 * 1024 * 1024
"""Bytes of one moment's pictures."""


class Capture:
    """Life, statistics, sampling and epochs of one stream; thread-safe.

    One thread brings frames, another asks for the status and changes the settings.
    """

    def __init__(self, camera: Camera, policy: CapturePolicy, now: datetime) -> None:
        self.camera = camera
        """Settings in force; replaced as a whole by `adopt`."""
        self.life = Life.begin(now)
        self.details: str | None = None
        """What the stream waits for."""
        self._policy = policy
        self._lock = threading.RLock()
        self._statistics = Statistics(policy.meter)
        self._moment = policy.spread.moment()
        self._sampler = self._new_sampler(now)
        evidence = policy.evidence
        self._spool = Allowance(frames=evidence.frames, size=evidence.size, within=policy.together)
        self._epoch: Epoch | None = None
        self._session_id = new_id("sess")
        self._last: Arrival | None = None
        self._carrier: tuple[str | None, str | None] = (None, None)
        self._clock = CameraClock()
        self._pace = Pace()
        self._lateness = Lateness()
        self._late_for = 0.0
        self._falls_behind = False
        self._freeze = Freeze()
        self._look_at = 0.0
        self._gate = self._new_gate()
        self._notices: deque[Notice] = deque()
        self._passed_over: Counter[str] = Counter()
        """By the present connection."""

    @property
    def must_go_on(self) -> bool:
        """Whether frames are captured even while nothing can be published."""
        return self.camera.detection.overload is Overload.ALL

    def connected(self, transport: str | None, codec: str | None) -> None:
        """A connection was made: how its pictures travel and are coded."""
        with self._lock:
            self._carrier = (transport, codec)
            self._freeze.connected()
            self._look_at = 0.0
            self._passed_over.clear()

    def open_session(self, now: datetime) -> Epoch:
        """The first picture of a new connection came: its frames are numbered from 0."""
        with self._lock:
            self._sampler = self._new_sampler(now)
            self._statistics.restart_window()
            self._pace, self._lateness, self._late_for = Pace(), Lateness(), 0.0
            return self._open_epoch(now)

    def close_session(self) -> None:
        """The connection is over; repeatable."""
        with self._lock:
            if self._epoch is not None:
                self._epoch.close()

    def adopt(self, camera: Camera, now: datetime) -> Epoch | None:
        """Goes on with new settings; a new epoch if the lane changed while connected."""
        with self._lock:
            before, after = self.camera.detection, camera.detection
            changed = lane_of(after) is not lane_of(before)
            self.camera = camera
            self._sampler.limit = camera.detection.fps_limit
            if after != before:
                self._gate = self._new_gate()
            return self._open_epoch(now) if changed and self._epoch is not None else None

    def dated(self, arrival: Arrival) -> Arrival:
        """A decoded frame, with the camera's own time only while its clock is believed."""
        if arrival.claimed is None:
            return arrival
        with self._lock:
            believed = self._clock.believed(arrival.monotonic)
            jump = self._clock.tells(arrival.claimed, arrival.received, arrival.monotonic)
            if jump is not None and believed:
                seconds = f"{jump.total_seconds():+.1f}"
                told = Notice(
                    f"the camera's clock jumped by {seconds} s", {"clock_jump_s": seconds}
                )
                self._notices.append(told)
            if self._clock.believed(arrival.monotonic):
                return arrival
            return replace(arrival, claimed=None)

    def keeps(self, arrival: Arrival) -> bool:
        """Counts a decoded frame; whether sampling keeps it and it did not come too late."""
        taken = camera_time(arrival.received, arrival.claimed, arrival.source)
        with self._lock:
            self._note_size(arrival)
            self._last = arrival
            latency = taken.latency(arrival.received)
            self._statistics.arrived(
                arrival.monotonic, arrival.size, latency, skew=arrival.skew, cpu=arrival.cpu
            )
            late = self._is_late(arrival)
            self._late_for = self._lateness.seconds(arrival.monotonic, late=late)
            if not self._sampler.keeps(arrival.media_time):
                self._statistics.skipped()
                return False
            if late:
                self.waste("max_age")
            return not late

    def is_frozen(self, fingerprint: Callable[[], int], monotonic: float) -> bool:
        """Whether a picture is the same one as for too long; not every picture is looked at."""
        with self._lock:
            limit = self._policy.frozen_after(self.camera)
            if limit == 0 or monotonic < self._look_at:
                return False
            self._look_at = monotonic + _LOOK_SECONDS
            return self._freeze.shows(fingerprint(), monotonic, limit)

    @property
    def should_catch_up(self) -> bool:
        """Whether pictures come so late that some are better left out undecoded."""
        return self._falls_behind

    def is_behind(self) -> bool:
        """Whether every picture has come too late for so long that reading on does not help."""
        return self._late_for >= self._policy.stale_seconds

    @property
    def should_wait(self) -> bool:
        """Whether a source that need not be read now should wait until frames have left.

        A file that is read as fast as possible would push out what the broker did not take yet.
        """
        stream = self.camera.stream
        if stream.stream_type is not StreamType.FILE or stream.pace != _FAST:
            return False
        with self._lock:
            return self._epoch is not None and not self._epoch.has_room(_LARGEST, _AHEAD)

    def is_quiet(self, thumbnail: Callable[[], NDArray[np.uint8]], media_time: float) -> bool:
        """Whether a sampled frame shows nothing new; it is then given up.

        Args:
            thumbnail: Called only if somebody looks.
            media_time: The frame's place in the stream, seconds.
        """
        with self._lock:
            quiet = self._gate is not None and self._gate.is_quiet(thumbnail(), media_time)
            if quiet:
                self.waste("no_motion")
            return quiet

    def offer(self, arrival: Arrival, pictures: Pictures, ended_at: datetime) -> bool:
        """Lets a sampled frame wait for the broker; False if the session is over."""
        with self._lock:
            epoch, camera = self._epoch, self.camera
            return epoch is not None and epoch.offer(
                lambda sequence: frame_captured(
                    camera,
                    arrival,
                    pictures,
                    epoch=epoch.number,
                    lane=epoch.lane,
                    sequence=sequence,
                    instance_id=self._policy.instance_id,
                    ended_at=ended_at,
                )
            )

    def waste(self, reason: str) -> None:
        """Gives a sampled frame up that is not published."""
        with self._lock:
            if self._epoch is not None:
                self._epoch.waste(reason)

    def passed_over(self, counts: Mapping[str, int]) -> None:
        """Pictures that the present connection left out so far, which became no frames."""
        if not counts:
            return
        with self._lock:
            for reason, count in counts.items():
                more = count - self._passed_over[reason]
                if more > 0:
                    self._passed_over[reason] = count
                    if reason == NOT_WANTED:
                        self._statistics.spared(more)
                    else:
                        self._statistics.gave_up(reason, more)

    def notices(self) -> list[Notice]:
        """What happened since the last question that people should hear of."""
        if not self._notices:
            return []
        with self._lock:
            return [self._notices.popleft() for _ in range(len(self._notices))]

    def status(self, now: datetime, monotonic: float) -> CameraStatus:
        """How the stream is."""
        with self._lock:
            life, last = self.life, self._last
            figures = self._statistics.figures(monotonic)
            live = life.state is StreamState.LIVE
            transport, codec = self._carrier if live else (None, None)
            return CameraStatus(
                camera_id=self.camera.camera_id,
                camera_name=self.camera.name,
                session_id=self._session_id,
                epoch=None if self._epoch is None else self._epoch.number,
                instance_id=self._policy.instance_id,
                state=life.state,
                details=self.details,
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
                clock_skew_ms=figures.skew_ms,
                clock_jumps=self._clock.jumps,
                timestamp_source=None if last is None else _dated_by(last),
                cpu_usage_percent=figures.cpu_percent,
                transport=transport,
                codec=codec,
                is_healthy=live and figures.fps > 0,
                error_count=life.errors,
                error_code=life.error_code,
                last_error=life.last_error,
                updated_at=now,
            )

    def _is_late(self, arrival: Arrival) -> bool:
        """Whether a frame came too long after its turn; frames that must not be missed never do.

        A file has no pace of its own: it is read as fast as we read it.
        """
        lag = self._pace.lag(arrival.media_time, arrival.monotonic)
        camera = self.camera
        if self.must_go_on or camera.stream.stream_type is StreamType.FILE:
            self._falls_behind = False
            return False
        most = camera.detection.max_age_ms / 1000
        self._falls_behind = lag > _BEHIND_SHARE * most
        return lag > most

    def _note_size(self, arrival: Arrival) -> None:
        last = self._last
        if last is not None and (last.width, last.height) != (arrival.width, arrival.height):
            size = f"{arrival.width}x{arrival.height}"
            before = f"{last.width}x{last.height}"
            told = Notice(f"the picture's size changed from {before} to {size}", {"size": size})
            self._notices.append(told)

    def _new_sampler(self, now: datetime) -> Sampler:
        limit = self.camera.detection.fps_limit
        return Sampler(limit, phase_to(self._moment, now.timestamp(), limit))

    def _new_gate(self) -> MotionGate | None:
        threshold = self.camera.detection.motion_threshold
        if threshold is None:
            return None
        return MotionGate(threshold, self._policy.motion_refresh)

    def _open_epoch(self, now: datetime) -> Epoch:
        self.close_session()
        lane = lane_of(self.camera.detection)
        self._gate = self._new_gate()
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


def _dated_by(arrival: Arrival) -> TimestampSource:
    return camera_time(arrival.received, arrival.claimed, arrival.source).source
