"""Decides at the end of each frame whether it leaves a trace, and measures all of them."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from mesh.clock import Clock
from mesh.events import Alert, FrameResult, StageTime
from mesh.record import Headers, Record
from mesh.tracing import TRACEPARENT, TraceContext
from results.adapters.frame_metrics import FrameMetrics
from results.domain.spans import (
    SEND,
    WRITER,
    Span,
    TailPolicy,
    last_legs,
    last_spans,
    legs,
    spans_of,
    trace_of,
)

_REMEMBERED = 512
"""Frames that wait for an alert, and alerts that wait for their frame."""


class SpanSink(Protocol):
    """Where spans go; see `OtlpExporter`."""

    def offer(self, spans: Sequence[Span]) -> None:
        """Take the spans or drop them; never blocks."""


class NoSink:
    """No endpoint is set: nothing is exported."""

    def offer(self, spans: Sequence[Span]) -> None:
        """Forget them."""


class FrameTraces:
    """What a writer or a gateway knows at the end of a frame; safe for threads."""

    def __init__(
        self,
        *,
        policy: TailPolicy,
        sink: SpanSink,
        metrics: FrameMetrics,
        clock: Clock,
        instance_id: str,
    ) -> None:
        self._policy = policy
        self._sink = sink
        self._exports = not isinstance(sink, NoSink)
        self._metrics = metrics
        self._clock = clock
        self._instance_id = instance_id
        self._lock = threading.Lock()
        self._quiet: OrderedDict[str, _Ended] = OrderedDict()
        self._alerted: OrderedDict[str, None] = OrderedDict()

    def now(self) -> datetime:
        """When a frame is taken up, UTC."""
        return self._clock.now()

    def written(self, records: Sequence[Record[Any]], since: datetime) -> None:
        """These records are in the tables; work on them began at `since`."""
        stage = StageTime(
            stage=WRITER,
            instance_id=self._instance_id,
            started_at=since,
            ended_at=self._clock.now(),
        )
        for record in records:
            if isinstance(record.event, FrameResult) and record.event.revision == 0:
                self._metrics.took(legs(record.event.stages))
                self._end(_Ended(record.event, _trace(record.event, record.headers), stage))
            elif isinstance(record.event, Alert) and record.event.frame_key:
                self.alerting(record.event.frame_key)

    def sent(self, result: FrameResult, headers: Headers, since: datetime) -> None:
        """The first client has the frame's event; this gateway read its result at `since`."""
        stage = StageTime(
            stage=SEND, instance_id=self._instance_id, started_at=since, ended_at=self._clock.now()
        )
        self._end(_Ended(result, _trace(result, headers), stage))

    def alerting(self, frame_key: str) -> None:
        """An alert names this frame: it leaves a trace, whichever of the two comes first."""
        if not self._exports:
            return
        with self._lock:
            ended = self._quiet.pop(frame_key, None)
            _remember(self._alerted, frame_key, None)
        if ended is not None:
            self._sink.offer(ended.spans(whole=ended.stage.stage == WRITER))

    def _end(self, ended: "_Ended") -> None:
        result, stage = ended.result, ended.stage
        writer = stage.stage == WRITER
        self._metrics.took(last_legs(result, stage))
        self._metrics.arrived(result.frame, "written" if writer else "sent", stage.ended_at)
        if not self._exports:  # spans cost more than everything else here
            return
        key = result.frame.frame_key
        chosen = self._policy.chooses(result, ended.trace_id) or key in self._alerted
        slow = self._policy.is_slow(result.frame, stage.ended_at)
        if chosen or slow:
            # What only this process finds slow, nobody else exports.
            self._sink.offer(ended.spans(whole=writer or not chosen))
            return
        with self._lock:
            _remember(self._quiet, key, ended)


class _Ended:
    """A frame at its end in this process."""

    __slots__ = ("result", "stage", "trace_id")

    def __init__(self, result: FrameResult, trace_id: str, stage: StageTime) -> None:
        self.result = result
        self.trace_id = trace_id
        self.stage = stage

    def spans(self, *, whole: bool) -> list[Span]:
        last = last_spans(self.result, self.trace_id, self.stage)
        return [*(spans_of(self.result, self.trace_id) if whole else ()), *last]


def _trace(result: FrameResult, headers: Headers) -> str:
    text = headers.get(TRACEPARENT, b"").decode("ascii", "replace")
    context = TraceContext.parse(text)
    return trace_of(result.frame.frame_key, context.trace_id if context else None)


def _remember(known: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    known[key] = value
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
