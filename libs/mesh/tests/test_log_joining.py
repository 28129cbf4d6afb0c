"""Whatever a worker logs while a record is in hand carries the record's trace."""

import io
import json
import logging

import pytest

from mesh.errors import TransientError
from mesh.events import FrameCaptured
from mesh.logs import configure_logs
from mesh.record import Record
from mesh.settings import MeshSettings
from mesh.stage import Emit, Reject
from mesh.tracing import TraceContext, headers_for

from .test_worker import CODEC, FRAMES, World, detected, frame

_log = logging.getLogger("stage")


@pytest.fixture
def out() -> io.StringIO:
    made = io.StringIO()
    configure_logs("detection", MeshSettings(instance_id="detection-0"), made)
    return made


def publish(world: World, *contexts: TraceContext) -> None:
    for number, context in enumerate(contexts):
        value = CODEC.encode(FRAMES, frame(number, "cam_a"))
        headers = headers_for(context) | {"baggage": b"request_id=mine-1"}
        world.broker.append(FRAMES, "cam_a", value, headers)


def lines(out: io.StringIO, word: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    return [line for line in found if word in str(line.get("message", ""))]


def test_the_lines_of_a_stage_and_of_the_worker_join_the_record(out: io.StringIO) -> None:
    context, failures = TraceContext.new(), [TransientError("the database is away")]

    def one(record: Record[FrameCaptured]) -> Emit | Reject:
        _log.info("working on it")
        if failures:
            raise failures.pop()
        return detected(record)

    world = World()
    publish(world, context)
    world.run(1, one)

    for word in ("working on it", "attempt 1 failed"):
        assert lines(out, word)
        for line in lines(out, word):
            assert (line["trace_id"], line["span_id"]) == (context.trace_id, context.span_id)
            assert line["request_id"] == "mine-1"


def test_a_batch_names_the_traces_of_its_records(out: io.StringIO) -> None:
    contexts = [TraceContext.new(), TraceContext.new()]

    def one(record: Record[FrameCaptured]) -> Emit | Reject:
        _log.info("working on it")
        return detected(record)

    world = World()
    publish(world, *contexts)
    world.run(2, one)

    (first, _) = lines(out, "working on it")
    assert first["metadata"] == {"trace_ids": [each.trace_id for each in contexts]}
