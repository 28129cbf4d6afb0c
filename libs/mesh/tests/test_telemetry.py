"""Logs, trace context, health and metrics."""

import io
import json
import logging
import urllib.error
import urllib.request
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from mesh.clock import ManualClock
from mesh.health import Health, HealthServer
from mesh.logs import configure_logs, get_logger, handling, handling_request
from mesh.metrics import StageMetrics
from mesh.record import TopicPartition
from mesh.settings import MeshSettings
from mesh.testing import a_frame_captured, a_record, a_request
from mesh.tracing import TRACEPARENT, TraceContext, child_headers, context_of, headers_for


@pytest.fixture
def lines() -> io.StringIO:
    out = io.StringIO()
    configure_logs("camera", MeshSettings(instance_id="camera-1"), out)
    return out


def last(out: io.StringIO) -> dict[str, object]:
    line: dict[str, object] = json.loads(out.getvalue().splitlines()[-1])
    return line


def test_a_log_line_has_the_shape_of_the_specification(lines: io.StringIO) -> None:
    context = TraceContext.new()
    with handling_request(context, "req_1"):
        get_logger("x").info("camera_connected", camera={"camera_id": "cam_1"}, attempt=2)

    line = last(lines)
    assert line["level"] == "INFO"
    assert line["event_type"] == "camera_connected"
    assert line["service"] == "camera"
    assert line["instance_id"] == "camera-1"
    assert (line["trace_id"], line["span_id"]) == (context.trace_id, context.span_id)
    assert line["request_id"] == "req_1"
    assert line["camera"] == {"camera_id": "cam_1"}
    assert line["metadata"] == {"component": "x", "attempt": 2}
    assert str(line["log_id"]).startswith("log_")
    assert str(line["timestamp"]).endswith("Z")


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_no_line_holds_the_password_of_a_url_that_is_asked(level: Any) -> None:
    out = io.StringIO()
    configure_logs("camera", MeshSettings(instance_id="camera-1", log_level=level), out)
    registry = httpx2.MockTransport(lambda request: httpx2.Response(200))
    with httpx2.Client(transport=registry) as client:
        client.get("http://user:a-password@registry/schemas/ids/1")
    get_logger("x").info("asked")

    assert last(out)["event_type"] == "asked"
    assert "a-password" not in out.getvalue()


def test_lines_join_the_trace_of_the_record_in_hand_and_leave_it_afterwards(
    lines: io.StringIO,
) -> None:
    context = TraceContext.new()
    record = a_record(
        a_frame_captured(request=a_request()), headers=headers_for(context) | {"other": b"x"}
    )
    with handling([record]):
        logging.getLogger("library").warning("in between")
    inside = last(lines)
    get_logger("x").info("afterwards")

    assert (inside["trace_id"], inside["span_id"]) == (context.trace_id, context.span_id)
    assert inside["request_id"] == a_request().request_id
    assert not {"trace_id", "span_id", "request_id"} & last(lines).keys()


def test_the_client_s_own_identifier_is_the_one_in_the_log(lines: io.StringIO) -> None:
    headers = {"baggage": b"other=1, request_id=mine%2F1;p=2", TRACEPARENT: b"nonsense"}
    with handling([a_record(a_frame_captured(request=a_request()), headers=headers)]):
        get_logger("x").info("working")
    assert last(lines)["request_id"] == "mine/1"
    assert "trace_id" not in last(lines)


def test_a_batch_names_all_its_traces(lines: io.StringIO) -> None:
    contexts = [TraceContext.new(), TraceContext.new()]
    with handling([a_record(a_frame_captured(), headers=headers_for(each)) for each in contexts]):
        get_logger("x").info("working")
    assert last(lines)["metadata"] == {
        "component": "x",
        "trace_ids": [each.trace_id for each in contexts],
    }


def test_a_library_s_sentence_is_a_message(lines: io.StringIO) -> None:
    logging.getLogger("library").warning("could not reach %s", "it")

    line = last(lines)
    assert (line["event_type"], line["message"]) == ("log", "could not reach it")


def test_secrets_by_name_never_reach_the_log(lines: io.StringIO) -> None:
    get_logger("x").warning("refused", password="hunter2", api_token="abc")

    assert "hunter2" not in lines.getvalue()
    assert "abc" not in lines.getvalue()


def test_what_follows_from_a_record_shares_its_trace_but_not_its_span() -> None:
    parent = TraceContext.new()

    child = context_of(child_headers({**headers_for(parent), "tracestate": b"a=1"}))

    assert child.trace_id == parent.trace_id
    assert child.span_id != parent.span_id
    assert child_headers({"tracestate": b"a=1"})["tracestate"] == b"a=1"


@pytest.mark.parametrize(
    "value", [b"", b"00-zz", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"\xff"]
)
def test_a_malformed_trace_starts_a_new_one(value: bytes) -> None:
    assert int(context_of({"traceparent": value}).trace_id, 16)


def test_a_loop_that_stands_still_is_not_alive() -> None:
    clock, health = ManualClock(), Health()
    heartbeat = health.heartbeat("loop", 60, clock)
    clock.advance(61)
    assert health.liveness() == {"loop": "no turn for 61 s, limit 60 s"}

    heartbeat.beat()

    assert health.liveness() == {}


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_answer_with_what_is_missing(socket_enabled: None) -> None:
    health, registry = Health(), CollectorRegistry()
    health.ready["database"] = lambda: "connection refused"
    StageMetrics(registry).lag(TopicPartition("frames", 3), 7)
    with HealthServer(health, registry, host="127.0.0.1", port=0) as server:
        base = f"http://127.0.0.1:{server.port}"

        assert fetch(f"{base}/live") == (200, '{"status": "ok", "checks": 0}')
        status, body = fetch(f"{base}/ready")
        assert (status, json.loads(body)["problems"]) == (503, {"database": "connection refused"})
        assert (
            'sightline_lag_records{partition="3",topic="frames"} 7.0' in fetch(f"{base}/metrics")[1]
        )
        assert fetch(f"{base}/other")[0] == 404


def test_a_process_that_does_without_something_is_ready_and_says_what(
    socket_enabled: None,
) -> None:
    health = Health(ready={"database": lambda: None}, partial={"object_store": lambda: "full"})
    with HealthServer(health, CollectorRegistry(), host="127.0.0.1", port=0) as server:
        base = f"http://127.0.0.1:{server.port}"

        status, body = fetch(f"{base}/ready")

        told = {"status": "degraded", "checks": 2, "degraded": {"object_store": "full"}}
        assert (status, json.loads(body)) == (200, told)
        assert fetch(f"{base}/live") == (200, '{"status": "ok", "checks": 0}')


def test_metrics_count_what_a_worker_reports() -> None:
    metrics = StageMetrics(CollectorRegistry())

    metrics.consumed("live", 3)
    metrics.produced("detections", 2)
    metrics.rejected("undecodable value on x")
    metrics.shed("live", "max_age", 4)
    metrics.retried(1)
    metrics.processed(2, 0.01)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("sightline_records_consumed_total", lane="live") == 3
    assert value("sightline_records_produced_total", topic="detections") == 2
    assert value("sightline_records_rejected_total", reason="undecodable") == 1
    assert value("sightline_records_shed_total", lane="live", reason="max_age") == 4
    assert value("sightline_batches_retried_total") == 1
    assert value("sightline_batch_records_sum") == 2
