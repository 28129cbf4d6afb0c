"""Stand-ins for what the stage is given."""

from detection.ports import ImageUnavailableError
from mesh.events import FrameRef


class Meter:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.failures = 0

    def worked(self, count: int, seconds: float) -> None:
        self.counts.append(count)

    def failed(self) -> None:
        self.failures += 1


class Chips:
    """Counts the faces that went without."""

    count = 0

    def left_out(self, count: int) -> None:
        self.count += count


class NoFrames:
    """Has no picture."""

    def load(self, reference: FrameRef) -> bytes:
        raise ImageUnavailableError("it is gone")
