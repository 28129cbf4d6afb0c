"""Spans to an OTLP collector over HTTP, from a thread of its own that nobody waits for."""

import queue
import threading
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from results.adapters.frame_metrics import FrameMetrics
from results.domain.spans import Span

_PATH = "/v1/traces"
_QUEUE = 2048
"""Frames whose spans wait for the collector."""
_BATCH = 512
"""Spans in one request, or a few more."""
_LINGER_SECONDS = 1.0
"""A request waits so long for more spans."""
_TIMEOUT_SECONDS = 5.0
_SCOPE = InstrumentationScope("sightline")


class OtlpExporter:
    """Exports what fits into its queue; what does not is counted, and lost on purpose.

    A collector that is slow or away costs spans, never a frame.
    """

    def __init__(
        self,
        endpoint: str,
        metrics: FrameMetrics,
        *,
        limit: int = _QUEUE,
        linger_seconds: float = _LINGER_SECONDS,
    ) -> None:
        """Take the collector's base address, such as `http://127.0.0.1:4318`."""
        url = endpoint.rstrip("/")
        self._vendor = OTLPSpanExporter(
            endpoint=url if url.endswith(_PATH) else url + _PATH, timeout=_TIMEOUT_SECONDS
        )
        self._metrics = metrics
        self._linger = linger_seconds
        self._waiting: queue.Queue[Sequence[Span]] = queue.Queue(limit)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Export what is queued, for a few seconds at most."""
        self._stop.set()
        self._thread.join(_TIMEOUT_SECONDS)
        self._vendor.shutdown()  # type: ignore[no-untyped-call]  # left untyped by its authors

    def offer(self, spans: Sequence[Span]) -> None:
        """Queue the spans of a frame; never blocks."""
        try:
            self._waiting.put_nowait(spans)
        except queue.Full:
            self._metrics.dropped(len(spans), "queue_full")

    def _run(self) -> None:
        while not (self._stop.is_set() and self._waiting.empty()):
            spans = self._batch()
            if spans:
                self._export(spans)

    def _batch(self) -> list[Span]:
        spans: list[Span] = []
        try:
            while len(spans) < _BATCH:
                patience = 0.0 if self._stop.is_set() else self._linger
                spans.extend(self._waiting.get(timeout=patience or None, block=patience > 0))
        except queue.Empty:
            pass
        return spans

    def _export(self, spans: Sequence[Span]) -> None:
        if self._vendor.export([_vendor_span(span) for span in spans]) is SpanExportResult.SUCCESS:
            self._metrics.exported(len(spans))
        else:
            self._metrics.dropped(len(spans), "refused")


def _vendor_span(span: Span) -> ReadableSpan:
    error = Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET)
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
        resource=_resource(span.service, span.instance_id),
        attributes=dict(span.attributes),
        kind=SpanKind.INTERNAL,
        status=error,
        start_time=_nanoseconds(span.started_at),
        end_time=_nanoseconds(span.ended_at),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


@lru_cache(maxsize=256)
def _resource(service: str, instance_id: str) -> Resource:
    """The span's own service: the trace reads as if each of them had exported."""
    return Resource({"service.name": service, "service.instance.id": instance_id})


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
