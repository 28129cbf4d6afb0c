"""Which time a frame is said to have been taken at."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mesh.events import TimestampSource

CREDIBLE = timedelta(seconds=60)
"""A camera's clock is believed within this distance of ours (design, section 3)."""


@dataclass(frozen=True, slots=True)
class CameraTime:
    """When a picture was taken, and who says so."""

    moment: datetime
    source: TimestampSource

    def latency(self, received: datetime) -> float | None:
        """Seconds from taken to received; `None` if only the arrival is known."""
        if self.source is TimestampSource.ARRIVAL:
            return None
        return (received - self.moment).total_seconds()


def camera_time(
    received: datetime, claimed: datetime | None, source: TimestampSource
) -> CameraTime:
    """The camera's own time where it is credible, else the time of arrival."""
    if claimed is None or abs(received - claimed) > CREDIBLE:
        return CameraTime(received, TimestampSource.ARRIVAL)
    return CameraTime(claimed, source)
