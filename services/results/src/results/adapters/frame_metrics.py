"""How long frames take, by stage and hop: against their budget, in Prometheus."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram

from mesh.events import FrameHeader
from results.domain.spans import OTHER, STAGES, Leg

_SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 10, 60,
)  # fmt: skip
_KNOWN = frozenset(STAGES)


class FrameMetrics:
    """Histograms of stages and hops, and what became of spans; labels are few and fixed.

    Args:
        registry: The registry of the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stages = Histogram(
            "sightline_stage_seconds",
            "Work of a stage on one frame.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._hops = Histogram(
            "sightline_hop_seconds",
            "Wait of one frame for a stage: publishing, broker and queues.",
            ["hop"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._latency = Histogram(
            "sightline_frame_latency_seconds",
            "From the reception of a frame until it was written, or sent to the first client.",
            ["to", "lane"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._exported = Counter(
            "sightline_spans_exported", "Spans that the collector took.", registry=registry
        )
        self._dropped = Counter(
            "sightline_spans_dropped",
            "Spans that never reached the collector, by reason.",
            ["reason"],
            registry=registry,
        )

    def took(self, legs: Iterable[Leg]) -> None:
        """A frame went this way."""
        for leg in legs:
            stage = leg.stage if leg.stage in _KNOWN else OTHER
            (self._hops if leg.wait else self._stages).labels(stage).observe(leg.seconds)

    def arrived(self, frame: FrameHeader, to: str, at: datetime) -> None:
        """A frame reached its destination, `written` or `sent`."""
        seconds = max(0.0, (at - frame.received_timestamp).total_seconds())
        self._latency.labels(to, str(frame.lane)).observe(seconds)

    def exported(self, spans: int) -> None:
        """The collector took so many spans."""
        self._exported.inc(spans)

    def dropped(self, spans: int, reason: str) -> None:
        """So many spans were given up: `queue_full`, or `refused` by the collector."""
        self._dropped.labels(reason).inc(spans)
