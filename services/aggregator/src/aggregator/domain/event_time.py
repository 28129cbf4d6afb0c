"""When a frame happened, as far as the camera's clock can be believed."""

from datetime import datetime, timedelta

from mesh.events import FrameHeader

CLOCK_TOLERANCE = timedelta(seconds=60)
"""A camera clock that is further off than this is not believed (design, section 3)."""


def event_time(frame: FrameHeader) -> datetime:
    """The camera's timestamp within 60 s of arrival, else the arrival; UTC."""
    if abs(frame.camera_timestamp - frame.received_timestamp) <= CLOCK_TOLERANCE:
        return frame.camera_timestamp
    return frame.received_timestamp
