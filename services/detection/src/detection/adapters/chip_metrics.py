"""What detection measures of the chips that it cuts; no label names a camera."""

from prometheus_client import CollectorRegistry, Counter


class ChipMetrics:
    """Counts faces that go without a chip; which camera's, its event `chips_left_out` tells.

    Args:
        registry: The registry of the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._left_out = Counter(
            "sightline_detection_chips_left_out",
            "Faces without a chip, because the chips of their frame take too many bytes.",
            registry=registry,
        )

    def left_out(self, count: int) -> None:
        """So many faces of a frame got no chip."""
        self._left_out.inc(count)
