"""One trace per frame, from capture to the WebSocket: writer and gateway export to a collector."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx2
import pytest
from pydantic import SecretStr
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from local.network import free_ports
from mesh.auth import Tokens
from mesh.events import FrameResult
from mesh.kafka import EventProducer
from mesh.stage import Output
from mesh.testing import a_frame_header, a_frame_result, a_stage_time
from mesh.tracing import TRACEPARENT

from .collector import Collector, Received, a_collector
from .running import Installation

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PATIENCE = 180.0
JWT_SECRET = "a secret of at least thirty-two characters"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPANS = [
    "frame",
    "camera", "wait detection", "detection", "wait recognition", "recognition", "wait aggregator",
    "aggregator", "wait writer", "writer", "wait send", "send",
]  # fmt: skip


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as made:
        yield made


def a_frame_of_now(number: int) -> FrameResult:
    """Captured just now, and through every stage in 40 ms."""
    now = datetime.now(UTC) - timedelta(milliseconds=45)
    moments = [now + timedelta(milliseconds=10 * step) for step in range(5)]
    stages = tuple(
        a_stage_time(stage, started_at=start, ended_at=start + timedelta(milliseconds=5))
        for stage, start in zip(
            ("camera", "detection", "recognition", "aggregator"), moments, strict=False
        )
    )
    frame = a_frame_header(sequence_number=number, received_timestamp=now, camera_timestamp=now)
    return a_frame_result(frame=frame, stages=stages)


def test_a_frame_is_one_trace_from_its_capture_to_the_websocket(
    installation: Installation, collector: Collector
) -> None:
    (port,) = free_ports(1)
    environment = {
        **installation.environment,
        "SIGHTLINE_JWT_SECRET": JWT_SECRET,
        "SIGHTLINE_GATEWAY_PORT": str(port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "SIGHTLINE_TRACE_RATIO": "1",
        "SIGHTLINE_LATENCY_BUDGET_MS": "60000",
    }
    mesh = replace(installation, environment=environment)
    token = Tokens(SecretStr(JWT_SECRET)).issue(
        "tester", "viewer", timedelta(hours=1), datetime.now(UTC)
    )
    url = f"ws://127.0.0.1:{port}/api/v1/detections/ws/tester"
    with ExitStack() as stack:
        stack.enter_context(mesh.role("writer"))
        stack.enter_context(mesh.role("gateway"))
        websocket = stack.enter_context(
            connect(
                url,
                subprotocols=[Subprotocol("bearer"), Subprotocol(token)],
                open_timeout=PATIENCE,
                ping_interval=None,
            )
        )
        websocket.recv(PATIENCE)
        websocket.send(json.dumps({"type": "subscribe", "camera_id": "*"}))
        websocket.recv(PATIENCE)
        result = a_frame_of_now(1)
        producer = EventProducer(mesh.settings, mesh.codec)
        headers = {TRACEPARENT: f"00-{TRACE}-{'1' * 16}-01".encode()}
        topic = mesh.settings.topics("results")
        producer.send(Output(topic, result.frame.camera_id, result, headers))
        producer.flush()
        event = json.loads(websocket.recv(PATIENCE))
        assert event["data"]["frame_key"] == result.frame.frame_key
        collector.wait_for(len(SPANS))

        answer = httpx2.get(
            f"http://127.0.0.1:{port}/api/v1/detections/statistics",
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )
    assert answer.json()["in_all"]["frames"] == 1

    (spans,) = collector.traces().values()
    assert sorted(span.name for span in spans) == sorted(SPANS)
    by_name = {span.name: span for span in spans}
    root = by_name["frame"]
    assert root.trace_id == TRACE
    assert root.attributes["frame_key"] == result.frame.frame_key
    assert {span.parent_id for span in spans if span is not root} == {root.span_id}
    assert {by_name[name].service for name in ("writer", "send")} == {"results"}
    _follow_each_other(by_name, result)


def _follow_each_other(by_name: dict[str, Received], result: FrameResult) -> None:
    way = [by_name[name] for name in SPANS[1:8]]
    assert way[0].start == _nanoseconds(result.frame.received_timestamp)
    assert all(before.end == after.start for before, after in pairwise(way))
    for wait, work in (("wait writer", "writer"), ("wait send", "send")):
        assert by_name[wait].start == by_name["aggregator"].end
        assert by_name[wait].end == by_name[work].start < by_name[work].end


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000
