from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.events import FrameResult, ModelUse, Outcome, StageTime
from mesh.testing import NOON, a_frame_result, a_stage_time
from results.domain.spans import (
    FRAME,
    SEND,
    WRITER,
    TailPolicy,
    ended_at,
    last_spans,
    legs,
    span_id,
    spans_of,
    trace_of,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
LOW, HIGH = f"{0:032x}", "f" * 32


def at(milliseconds: float) -> datetime:
    return NOON + timedelta(milliseconds=milliseconds)


def stage(name: str, start: float, end: float) -> StageTime:
    return a_stage_time(name, started_at=at(start), ended_at=at(end))


def a_travelled_result(**changes: Any) -> FrameResult:
    way = (
        stage("camera", 0, 5),
        stage("detection", 12, 30),
        stage("recognition", 33, 50),
        stage("aggregator", 58, 60),
    )
    return replace(a_frame_result(stages=way), **changes)


def test_a_frame_has_one_root_and_a_span_for_every_stage_and_every_wait() -> None:
    root, *rest = spans_of(a_travelled_result(), TRACE)

    assert (root.name, root.parent_id, root.started_at, root.ended_at) == (
        FRAME, None, NOON, at(60),
    )  # fmt: skip
    assert [(s.name, s.started_at, s.ended_at) for s in rest] == [
        ("camera", at(0), at(5)),
        ("wait detection", at(5), at(12)),
        ("detection", at(12), at(30)),
        ("wait recognition", at(30), at(33)),
        ("recognition", at(33), at(50)),
        ("wait aggregator", at(50), at(58)),
        ("aggregator", at(58), at(60)),
    ]
    assert {s.parent_id for s in rest} == {root.span_id}
    assert {s.trace_id for s in (root, *rest)} == {TRACE}
    assert len({s.span_id for s in (root, *rest)}) == 8


def test_the_same_frame_makes_the_same_spans_again() -> None:
    assert spans_of(a_travelled_result(), TRACE) == spans_of(a_travelled_result(), TRACE)


def test_writing_is_a_span_beside_the_others_after_the_wait_for_the_writer() -> None:
    result = a_travelled_result()

    wait, writing = last_spans(result, TRACE, stage(WRITER, 70, 75))

    assert (wait.name, wait.started_at, wait.ended_at) == ("wait writer", at(60), at(70))
    assert (writing.name, writing.started_at, writing.ended_at) == ("writer", at(70), at(75))
    assert writing.service == "results"
    assert writing.parent_id == span_id(result.frame.frame_key, FRAME)


def test_two_gateways_send_in_two_spans() -> None:
    result = a_travelled_result()
    first = last_spans(result, TRACE, replace(stage(SEND, 70, 75), instance_id="gateway-0"))
    second = last_spans(result, TRACE, replace(stage(SEND, 70, 75), instance_id="gateway-1"))

    assert not {s.span_id for s in first} & {s.span_id for s in second}


def test_the_root_tells_what_became_of_the_frame_and_no_name() -> None:
    use = ModelUse(
        task="face-detection", model_id="yunet", name="YuNet", version="1", device="CPU",
        engine="openvino", latency_ms=4.0,
    )  # fmt: skip
    result = a_travelled_result(models=(use,), outcome=Outcome.FAILED, reason="unreadable_image")

    root, *rest = spans_of(result, TRACE)

    assert root.error == "unreadable_image"
    assert root.attributes["outcome"] == "failed"
    assert (root.attributes["faces"], root.attributes["lane"]) == (1, "live")
    models = {s.name: s.attributes.get("model") for s in rest}
    assert (models["detection"], models["recognition"]) == ("yunet", None)
    assert "per_" not in str([root, *rest])
    assert "Front door" not in str([root, *rest])


def test_a_stage_that_failed_without_a_reason_is_an_error_all_the_same() -> None:
    root, *_ = spans_of(a_travelled_result(outcome=Outcome.FAILED), TRACE)
    assert root.error == "unknown"


def test_a_frame_without_stage_times_has_only_its_root() -> None:
    (root,) = spans_of(a_frame_result(stages=()), TRACE)
    assert (root.started_at, root.ended_at, root.service) == (NOON, NOON, "results")


def test_a_clock_that_is_behind_makes_a_wait_of_nothing() -> None:
    waits = [leg for leg in legs((stage("camera", 0, 5), stage("detection", 3, 9))) if leg.wait]
    assert [(leg.started_at, leg.seconds) for leg in waits] == [(at(3), 0.0)]


def test_the_trace_is_the_one_of_the_header_or_the_frames_own() -> None:
    key = a_frame_result().frame.frame_key
    assert trace_of(key, TRACE) == TRACE
    assert trace_of(key, None) == key.replace("-", "")


def test_failed_and_slow_frames_always_leave_a_trace() -> None:
    never = TailPolicy(ratio=0.0, budget=timedelta(milliseconds=60))

    assert not never.chooses(a_travelled_result(), LOW)
    assert never.chooses(a_travelled_result(outcome=Outcome.FAILED, reason="x"), HIGH)
    late = a_travelled_result(stages=(stage("camera", 0, 61),))
    assert never.chooses(late, HIGH)
    assert ended_at(late) == at(61)


@given(st.floats(0, 1), st.integers(0, (1 << 64) - 1))
def test_the_ratio_chooses_by_the_trace_alone(ratio: float, low: int) -> None:
    chosen = TailPolicy(ratio=ratio).chooses(a_travelled_result(), f"{1:016x}{low:016x}")
    assert chosen == (low < ratio * 2**64)


@given(st.permutations(range(4)))
def test_the_order_of_the_stage_times_does_not_matter(order: list[int]) -> None:
    result = a_travelled_result()
    shuffled = replace(result, stages=tuple(result.stages[i] for i in order))
    assert list(legs(shuffled.stages)) == list(legs(result.stages))
