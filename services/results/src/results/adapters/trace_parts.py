"""The parts that measure and trace frames, put together."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mesh.clock import SystemClock
from mesh.process import Process
from results.adapters.frame_metrics import FrameMetrics
from results.adapters.frame_traces import FrameTraces, NoSink, SpanSink
from results.settings import ResultsSettings


@contextmanager
def open_traces(settings: ResultsSettings, process: Process) -> Iterator[FrameTraces]:
    """What a writer or gateway tells of its frames; exports only if an endpoint is set."""
    metrics = FrameMetrics(process.metrics.registry)
    sink: SpanSink = NoSink()
    with ExitStack() as stack:
        if settings.otlp_endpoint:
            from results.adapters.otlp import OtlpExporter  # noqa: PLC0415 -- 15 MB for who traces

            sink = stack.enter_context(OtlpExporter(settings.otlp_endpoint, metrics))
        yield FrameTraces(
            policy=settings.tail,
            sink=sink,
            metrics=metrics,
            clock=SystemClock(),
            instance_id=settings.instance_id,
        )
