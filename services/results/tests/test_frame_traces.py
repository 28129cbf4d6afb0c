from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.clock import ManualClock
from mesh.events import FrameResult, Outcome
from mesh.record import Record
from mesh.testing import NOON, a_frame_header, a_frame_result, a_record, a_stage_time
from results.adapters.frame_metrics import FrameMetrics
from results.adapters.frame_traces import _REMEMBERED, FrameTraces, NoSink
from results.adapters.otlp import OtlpExporter
from results.domain.spans import Span, TailPolicy, spans_of

from .collector import a_collector
from .stored_events import an_alert

TRACE = "f" * 32
HEADERS = {"traceparent": f"00-{TRACE}-{'1' * 16}-01".encode()}


class Sink:
    def __init__(self) -> None:
        self.offers: list[list[str]] = []
        self.spans: list[Span] = []

    def offer(self, spans: object) -> None:
        assert isinstance(spans, list)
        self.spans += spans
        self.offers.append([span.name for span in spans])


@pytest.fixture
def figures() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def sink() -> Sink:
    return Sink()


def traces_of(sink: Sink | NoSink, figures: CollectorRegistry, ratio: float = 0.0) -> FrameTraces:
    return FrameTraces(
        policy=TailPolicy(ratio=ratio),
        sink=sink,
        metrics=FrameMetrics(figures),
        clock=ManualClock(NOON + timedelta(milliseconds=50)),
        instance_id="results-0",
    )


def a_read_result(number: int = 0, **changes: Any) -> Record[FrameResult]:
    result = a_frame_result(frame=a_frame_header(sequence_number=number))
    return a_record(replace(result, **changes), headers=HEADERS)


def test_the_writer_exports_the_whole_frame_and_the_gateway_its_sending(
    sink: Sink, figures: CollectorRegistry
) -> None:
    traces = traces_of(sink, figures, ratio=1.0)
    record = a_read_result()

    traces.written([record], traces.now())
    traces.sent(record.event, record.headers, traces.now())

    assert sink.offers[0][0] == "frame"
    assert sink.offers[0][-2:] == ["wait writer", "writer"]
    assert sink.offers[1] == ["wait send", "send"]
    assert {span.trace_id for span in sink.spans} == {TRACE}


def test_a_frame_that_nobody_chose_leaves_figures_only(
    sink: Sink, figures: CollectorRegistry
) -> None:
    traces_of(sink, figures).written([a_read_result()], NOON)

    assert not sink.offers
    assert figures.get_sample_value("sightline_stage_seconds_count", {"stage": "detection"}) == 1
    assert figures.get_sample_value("sightline_hop_seconds_count", {"hop": "writer"}) == 1
    written = {"to": "written", "lane": "live"}
    assert figures.get_sample_value("sightline_frame_latency_seconds_sum", written) == 0.05


def test_a_failed_frame_is_exported_whatever_the_ratio(
    sink: Sink, figures: CollectorRegistry
) -> None:
    failed = a_read_result(outcome=Outcome.FAILED, reason="poison")
    traces_of(sink, figures).written([failed], NOON)
    assert sink.spans[0].error == "poison"


def test_a_frame_that_was_slow_to_this_client_alone_is_exported_whole(
    sink: Sink, figures: CollectorRegistry
) -> None:
    traces = traces_of(sink, figures)
    early = a_frame_header(received_timestamp=NOON - timedelta(seconds=1))
    quick = (a_stage_time(started_at=early.received_timestamp, ended_at=early.received_timestamp),)
    traces.sent(a_frame_result(frame=early, stages=quick), HEADERS, NOON)
    assert sink.offers == [["frame", "camera", "wait send", "send"]]


@pytest.mark.parametrize("alert_first", [True, False])
def test_a_frame_that_raised_an_alert_is_exported(
    alert_first: bool, sink: Sink, figures: CollectorRegistry
) -> None:
    traces = traces_of(sink, figures)
    frame = a_read_result()
    alert = a_record(an_alert(frame_key=frame.event.frame.frame_key))
    for record in (alert, frame) if alert_first else (frame, alert):
        traces.written([record], NOON)
    assert [offer[0] for offer in sink.offers] == ["frame"]


def test_only_the_last_frames_wait_for_an_alert(sink: Sink, figures: CollectorRegistry) -> None:
    traces = traces_of(sink, figures)
    traces.written([a_read_result(number) for number in range(_REMEMBERED + 1)], NOON)
    traces.alerting(a_read_result(0).event.frame.frame_key)
    assert not sink.offers
    traces.alerting(a_read_result(1).event.frame.frame_key)
    assert sink.offers


def test_a_correction_is_no_second_frame(sink: Sink, figures: CollectorRegistry) -> None:
    traces_of(sink, figures, ratio=1.0).written([a_read_result(revision=1)], NOON)
    assert not sink.offers


def test_without_an_endpoint_nothing_is_exported(figures: CollectorRegistry) -> None:
    traces_of(NoSink(), figures, ratio=1.0).written([a_read_result()], NOON)
    assert figures.get_sample_value("sightline_spans_exported_total") == 0


@pytest.mark.integration
def test_a_collector_receives_what_was_made(figures: CollectorRegistry) -> None:
    result = a_frame_result(outcome=Outcome.FAILED, reason="poison")
    made = spans_of(result, TRACE)
    with a_collector() as collector:
        metrics = FrameMetrics(figures)
        with OtlpExporter(collector.endpoint, metrics, linger_seconds=0.05) as exporter:
            exporter.offer(made)
            received = collector.wait_for(len(made))
        assert figures.get_sample_value("sightline_spans_exported_total") == len(made)
    root = next(span for span in received if span.name == "frame")
    assert (root.trace_id, root.parent_id, root.failed) == (TRACE, "", True)
    assert root.start == int(NOON.timestamp()) * 10**9
    assert root.attributes["faces"] == 1
    assert {s.parent_id for s in received if s is not root} == {root.span_id}
    assert {s.service for s in received} >= {"camera", "detection", "recognition", "aggregator"}


@pytest.mark.integration
def test_spans_that_do_not_fit_or_are_refused_are_counted(figures: CollectorRegistry) -> None:
    made = spans_of(a_frame_result(), TRACE)
    with a_collector(status=400) as collector:
        exporter = OtlpExporter(collector.endpoint, FrameMetrics(figures), limit=1)
        exporter.offer(made)
        exporter.offer(made)
        with exporter:
            pass
    dropped = "sightline_spans_dropped_total"
    assert figures.get_sample_value(dropped, {"reason": "queue_full"}) == len(made)
    assert figures.get_sample_value(dropped, {"reason": "refused"}) == len(made)


def test_without_an_endpoint_frames_are_measured_and_nothing_is_kept_for_a_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offered: list[object] = []
    monkeypatch.setattr(NoSink, "offer", lambda _, spans: offered.append(spans))
    registry = CollectorRegistry()
    traces = FrameTraces(
        policy=TailPolicy(),
        sink=NoSink(),
        metrics=FrameMetrics(registry),
        clock=ManualClock(NOON + timedelta(hours=1)),
        instance_id="writer-1",
    )
    traces.alerting(a_frame_result().frame.frame_key)
    traces.written([a_record(a_frame_result())], NOON)
    assert offered == []
    labels = {"to": "written", "lane": "live"}
    assert registry.get_sample_value("sightline_frame_latency_seconds_count", labels) == 1
