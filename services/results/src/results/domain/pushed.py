"""Pictures that a client pushes for a camera: which are kept, their numbers, and how it goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mesh.events import (
    Camera,
    CameraStatus,
    DetectionConfig,
    FrameCaptured,
    FrameHeader,
    Lane,
    LogEvent,
    Overload,
    Priority,
    Purpose,
    StageTime,
    StreamState,
    TimestampSource,
)
from mesh.identity import frame_key, new_epoch, new_id
from mesh.source.epoch import Epoch
from mesh.source.ring import RingLimits
from mesh.source.sampling import Sampler
from mesh.source.statistics import Statistics
from mesh.source.timestamps import camera_time
from results.domain.endings import Ending
from results.domain.frames import STAGE, Picture

PUSHED = "websocket"
"""How the pictures of such a session travel."""
RING = 10
"""Pictures of a client that may wait for the broker."""
_WORDS = {
    StreamState.CONNECTING: "connecting",
    StreamState.LIVE: "connected",
    StreamState.ERROR: "disconnected",
    StreamState.STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A picture as it came."""

    picture: Picture
    received: datetime
    """UTC."""
    taken_at: datetime | None
    """When the client says that it was taken, UTC."""


class PushSession:
    """One client that pushes the pictures of one camera.

    The pictures are numbered from 0 after sampling, under epochs of this session. For the event
    loop alone, but for its epochs, which any thread may use.
    """

    def __init__(
        self, camera: Camera, *, instance_id: str, client: str, now: datetime, monotonic: float
    ) -> None:
        self.camera = camera
        self.session_id = new_id("sess")
        self.state = StreamState.CONNECTING
        self.statistics = Statistics()
        self.epoch = self._open_epoch(now)
        self._instance_id = instance_id
        self._client = client
        self._began = (now, monotonic)
        self._sampler = Sampler(camera.detection.fps_limit)
        self._established: datetime | None = None
        self._last: Pushed | None = None
        self._errors = 0
        self._error: tuple[str | None, str] | None = None

    @property
    def waits_for_room(self) -> bool:
        """Whether the client must wait until pictures have left: of this camera none is shed."""
        every = self.camera.detection.overload is Overload.ALL
        return every and self.epoch.waiting[0] >= RING

    def keeps(self, size: int, monotonic: float) -> bool:
        """Whether sampling keeps what came at this moment, in monotonic seconds."""
        if self._sampler.keeps(monotonic):
            return True
        self.statistics.arrived(monotonic, size, None)
        self.statistics.skipped()
        return False

    def arrived(self, pushed: Pushed, size: int, monotonic: float) -> bool:
        """Count a picture that is kept; true if it is the first one of this session."""
        taken = camera_time(pushed.received, pushed.taken_at, TimestampSource.CLIENT)
        self.statistics.arrived(monotonic, size, taken.latency(pushed.received))
        self._last = pushed
        if self.state is not StreamState.CONNECTING:
            return False
        self.state, self._established = StreamState.LIVE, pushed.received
        return True

    def offer(self, pushed: Pushed, now: datetime) -> bool:
        """Let a picture wait for the broker; false if the session is over."""
        camera, epoch = self.camera, self.epoch
        return epoch.offer(
            lambda sequence: _frame(
                camera, pushed, epoch=epoch, sequence=sequence, instance=self._instance_id, now=now
            )
        )

    def refused(self, message: str) -> None:
        """Something came that is no picture."""
        self._errors += 1
        self._error = ("unsupported", message)

    def adopt(self, camera: Camera, now: datetime) -> Epoch | None:
        """Go on with new settings; the new epoch if another lane begins one."""
        before = self.camera.detection
        self.camera = camera
        self._sampler.limit = camera.detection.fps_limit
        if lane_of(camera.detection) is lane_of(before):
            return None
        self.epoch.close()
        self.epoch = self._open_epoch(now)
        return self.epoch

    def end(self, ending: Ending) -> None:
        """No more pictures are taken; what waits may still leave. Repeatable."""
        if self.state is not StreamState.STOPPED:
            self.state = StreamState.STOPPED
            self._error = (ending.error_code, ending.reason) if ending.error_code else None
            self._errors += ending.error_code is not None
        self.epoch.close()

    def status(self, now: datetime, monotonic: float) -> CameraStatus:
        """How the stream is."""
        last, figures = self._last, self.statistics.figures(monotonic)
        code, message = self._error or (None, None)
        live = self.state is StreamState.LIVE
        return CameraStatus(
            camera_id=self.camera.camera_id,
            camera_name=self.camera.name,
            session_id=self.session_id,
            epoch=self.epoch.number,
            instance_id=self._instance_id,
            state=self.state,
            started_at=self._began[0],
            established_at=self._established if live else None,
            last_frame_at=last.received if last else None,
            reconnection_attempts=0 if live else 1,
            frames_captured=figures.captured,
            frames_queued=figures.queued,
            frames_dropped=figures.dropped,
            frames_skipped=figures.skipped,
            avg_fps=round(figures.fps, 3),
            avg_latency_ms=figures.latency_ms,
            bandwidth_mbps=round(figures.megabits_per_second, 4),
            width=last.picture.header.width if last else None,
            height=last.picture.header.height if last else None,
            timestamp_source=_source(last),
            transport=PUSHED,
            codec=last.picture.header.format if last else None,
            is_healthy=live and figures.fps > 0,
            error_count=self._errors,
            error_code=code,
            last_error=message,
            updated_at=now,
        )

    def event(self, details: str, now: datetime, monotonic: float) -> LogEvent:
        """A transition as the event `camera_connection` (specification 8.1.2)."""
        code = self._error[0] if self._error else None
        attributes: Mapping[str, str] = {
            "status": _WORDS[self.state],
            "connection_attempt": "1",
            "details": details,
            "latency_ms": f"{1000 * (monotonic - self._began[1]):.0f}",
            "pushed_by": self._client,
        }
        return LogEvent(
            event_id=new_id("evt"),
            event_type="camera_connection",
            occurred_at=now,
            severity="warning" if code else "info",
            service="results",
            instance_id=self._instance_id,
            camera_id=self.camera.camera_id,
            camera_name=self.camera.name,
            message=details,
            attributes={**attributes, "error_code": code} if code else attributes,
        )

    def _open_epoch(self, now: datetime) -> Epoch:
        return Epoch(
            self.camera.camera_id,
            new_epoch(now),
            lane_of(self.camera.detection),
            limits=RingLimits(frames=RING),
            statistics=self.statistics,
            service="results",
        )


def lane_of(detection: DetectionConfig) -> Lane:
    """The lane of a camera's pictures, whoever brings them."""
    if detection.overload is Overload.ALL:
        return Lane.EVIDENCE
    return Lane.URGENT if detection.priority is Priority.URGENT else Lane.LIVE


def _source(last: Pushed | None) -> TimestampSource | None:
    if last is None:
        return None
    return camera_time(last.received, last.taken_at, TimestampSource.CLIENT).source


def _frame(
    camera: Camera, pushed: Pushed, *, epoch: Epoch, sequence: int, instance: str, now: datetime
) -> FrameCaptured:
    taken = camera_time(pushed.received, pushed.taken_at, TimestampSource.CLIENT)
    max_age = timedelta(milliseconds=camera.detection.max_age_ms)
    picture = pushed.picture
    header = FrameHeader(
        frame_key=frame_key(camera.camera_id, epoch.number, sequence),
        camera_id=camera.camera_id,
        camera_name=camera.name,
        epoch=epoch.number,
        sequence_number=sequence,
        frame_id=f"frame_{sequence}",
        lane=epoch.lane,
        priority=camera.detection.priority,
        purpose=Purpose.SURVEILLANCE,
        stream_type=camera.stream.stream_type,
        camera_timestamp=taken.moment,
        timestamp_source=taken.source,
        received_timestamp=pushed.received,
        deadline=None if epoch.lane is Lane.EVIDENCE else pushed.received + max_age,
        width=picture.header.width,
        height=picture.header.height,
    )
    stage = StageTime(stage=STAGE, instance_id=instance, started_at=pushed.received, ended_at=now)
    return FrameCaptured(
        frame=header,
        image=picture.data,
        image_format=picture.header.format,
        location=camera.location,
        detection=camera.detection,
        stages=(stage,),
    )
