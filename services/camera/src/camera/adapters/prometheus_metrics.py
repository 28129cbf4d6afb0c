"""What the camera service measures beyond what every process does; labels are few and fixed."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from mesh.events import Lane, StreamState

_LANES = (Lane.URGENT, Lane.LIVE, Lane.EVIDENCE)


class CameraMetrics:
    """Frames by what became of them, what waits, and streams by state; no label names a camera.

    Args:
        registry: The registry of the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._captured = Counter(
            "sightline_camera_frames_captured", "Frames that came.", registry=registry
        )
        self._skipped = Counter(
            "sightline_camera_frames_skipped", "Frames left out by sampling.", registry=registry
        )
        self._dropped = Counter(
            "sightline_camera_frames_dropped",
            "Frames that were given up after sampling, and pictures that became none, by reason.",
            ["reason"],
            registry=registry,
        )
        self._waiting_frames = Gauge(
            "sightline_camera_waiting_frames",
            "Frames in rings and spools and on their way, by lane.",
            ["lane"],
            registry=registry,
        )
        self._waiting_bytes = Gauge(
            "sightline_camera_waiting_bytes", "Their bytes, by lane.", ["lane"], registry=registry
        )
        self._streams = Gauge(
            "sightline_camera_streams",
            "Streams of this replica, by state.",
            ["state"],
            registry=registry,
        )

    def captured(self, count: int = 1) -> None:
        """Frames came."""
        self._captured.inc(count)

    def skipped(self, count: int = 1) -> None:
        """Sampling left frames out."""
        self._skipped.inc(count)

    def gave_up(self, reason: str, count: int) -> None:
        """Frames were given up after sampling."""
        self._dropped.labels(reason).inc(count)

    def waiting(self, frames: Mapping[str, int], size: Mapping[str, int]) -> None:
        """So many frames and bytes wait for the broker, by lane."""
        for lane in _LANES:
            self._waiting_frames.labels(lane.value).set(frames.get(lane.value, 0))
            self._waiting_bytes.labels(lane.value).set(size.get(lane.value, 0))

    def streams(self, states: Mapping[StreamState, int]) -> None:
        """So many streams are in these states."""
        for state in StreamState:
            self._streams.labels(state.value).set(states.get(state, 0))
