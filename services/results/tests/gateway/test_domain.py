"""Pure rules of the gateway."""

import base64
import io
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mesh.events import (
    Answer,
    FrameCaptured,
    Lane,
    ModelStatus,
    ModelUse,
    Outcome,
    Priority,
    Purpose,
    StreamState,
    StreamType,
)
from mesh.testing import (
    NOON,
    a_camera,
    a_candidate,
    a_decision,
    a_frame_header,
    a_frame_result,
    a_person,
    a_request,
    a_result_detection,
    a_stage_time,
    an_embedding,
)
from results.domain.answers import model_timeout, processed
from results.domain.cameras import split_credentials
from results.domain.errors import ApiError
from results.domain.frame_report import processing_info
from results.domain.frames import (
    Origin,
    Picture,
    Push,
    SourceNumbers,
    frame_captured,
)
from results.domain.health import render_health
from results.domain.models import allowed_names
from results.domain.picture import PictureHeader, check_picture, decode_base64
from results.domain.rendering import persons_of, render_result, vector
from results.domain.times import iso, milliseconds, parse

from .conftest import a_model

SIZES = st.integers(min_value=1, max_value=300)


@given(width=SIZES, height=SIZES, kind=st.sampled_from(["jpeg", "png"]), quality=st.booleans())
def test_the_header_of_a_real_picture_is_read_without_decoding(
    width: int, height: int, kind: str, quality: bool
) -> None:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, kind, progressive=quality)
    assert check_picture(out.getvalue(), field="f") == PictureHeader(kind, width, height)


@given(data=st.binary(max_size=200), magic=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n"]))
def test_garbage_is_refused_and_never_crashes(data: bytes, magic: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        check_picture(magic + data, field="f")
    assert refused.value.field == "f"
    assert refused.value.limit


@given(cut=st.integers(min_value=1, max_value=600))
def test_a_truncated_picture_is_refused(cut: int) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (9, 99, 200)).save(out, "JPEG")
    with pytest.raises(ApiError):
        check_picture(out.getvalue()[:-cut], field="f")


def test_a_padded_jpeg_and_fill_bytes_are_fine() -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "JPEG")
    data = out.getvalue()
    padded = data[:2] + b"\xff\xff" + data[2:] + b"\0" * 100
    assert check_picture(padded, field="f").width == 40


@given(st.binary(min_size=1, max_size=100))
def test_base64_is_read_with_line_breaks(data: bytes) -> None:
    assert decode_base64(base64.encodebytes(data).decode(), field="f") == data


def test_every_number_is_reported_once_and_an_epoch_is_closed_at_the_end() -> None:
    source = SourceNumbers()
    taken = [source.take("cam", Lane.REQUEST, new_epoch=5 + n) for n in range(3)]
    assert [(n.epoch, n.sequence_number) for n in taken] == [(5, 0), (5, 1), (5, 2)]
    for number in taken:
        source.settle(number, lane=Lane.REQUEST, acknowledged=number.sequence_number != 1)
    captured, lost = source.report(instance_id="g", now=NOON)
    assert [(each.first, each.last) for each in captured.ranges] == [(0, 0), (2, 2)]
    assert (lost.outcome, lost.reason) == ("lost", "unacknowledged")
    assert source.report(instance_id="g", now=NOON) == []
    (closing,) = source.report(instance_id="g", now=NOON, closing=True)
    assert closing.closes_epoch
    assert closing.ranges == ()


def test_what_the_ledger_was_not_told_is_in_the_next_report_with_what_came_since() -> None:
    source = SourceNumbers()
    first, second, third = (source.take("cam", Lane.REQUEST, new_epoch=5) for _ in range(3))
    source.settle(first, lane=Lane.REQUEST, acknowledged=True)
    source.settle(second, lane=Lane.REQUEST, acknowledged=False)
    source.unreported(source.report(instance_id="g", now=NOON))
    source.settle(third, lane=Lane.REQUEST, acknowledged=True)
    captured, lost = source.report(instance_id="g", now=NOON, closing=True)
    assert [(each.first, each.last) for each in captured.ranges] == [(0, 0), (2, 2)]
    assert captured.closes_epoch
    assert [(each.first, each.last) for each in lost.ranges] == [(1, 1)]
    assert (lost.outcome, lost.reason) == ("lost", "unacknowledged")


def a_push(**changes: object) -> FrameCaptured:
    values: dict[str, object] = {
        "origin": Origin.of_camera(a_camera()),
        "picture": Picture(data=b"x", header=PictureHeader("jpeg", 8, 6)),
        "purpose": Purpose.PROCESS_FRAME,
        "request": a_request(timeout_ms=1500),
        "priority": Priority.NORMAL,
        "received_at": NOON,
    }
    push = Push(**(values | changes))  # type: ignore[arg-type]  # changed by name
    number = SourceNumbers().take(push.origin.camera_id, Lane.REQUEST, 7)
    return frame_captured(push, number, instance_id="g", now=NOON)


def test_a_pushed_picture_has_a_deadline_by_the_servers_clock() -> None:
    frame = a_push(taken_at=NOON - timedelta(hours=1)).frame
    assert frame.deadline == NOON + timedelta(milliseconds=1500)
    assert frame.camera_timestamp == NOON - timedelta(hours=1)
    assert a_push().frame.camera_timestamp == NOON
    assert a_push(stream_type=StreamType.USB).frame.stream_type is StreamType.USB
    assert a_push().frame.stream_type is StreamType.FILE


def test_pictures_without_a_camera_belong_to_the_process() -> None:
    one, again, other = (Origin.of_gateway(name) for name in ("a", "a", "b"))
    assert one == again
    assert one.camera_id != other.camera_id


def test_the_parts_of_the_processing_time_sum_up() -> None:
    stages = [
        a_stage_time("detection", started_at=_at(34), ended_at=_at(112)),
        a_stage_time("recognition", started_at=_at(112), ended_at=_at(127)),
    ]
    info = processing_info(a_frame_header(), stages)
    assert info["processing_time_ms"] == 127
    assert info["queue_time_ms"] == 34
    assert info["detection_time_ms"] == 78
    assert info["recognition_time_ms"] == 15


def _at(milliseconds_later: int) -> datetime:
    return NOON + timedelta(milliseconds=milliseconds_later)


def test_runners_up_are_named_too() -> None:
    other = "per_00000000-0000-4000-8000-000000000002"
    decision = a_decision(
        identified=False, person_id=None, reason="ambiguous",
        candidates=(a_candidate(), a_candidate(person_id=other, similarity=0.75)),
    )  # fmt: skip
    result = a_frame_result(detections=(a_result_detection(decision=decision),))
    people = persons_of(result.detections)
    rendered = render_result(result, {person.person_id: person for person in (a_person(),)})
    (item,) = rendered["detections"]
    assert len(people) == 2
    assert item["person"] is None
    named = [near["name"] for near in item["metadata"]["decision"]["candidates"]]
    assert named == ["Ada Lovelace", None]
    assert rendered["summary"]["unknown_persons"] == 1


def test_an_erased_person_stays_an_identifier_only() -> None:
    rendered = render_result(a_frame_result(), {})
    person = rendered["detections"][0]["person"]
    assert (person["name"], person["enrollment_status"]) == (None, "unknown")


def test_objects_are_no_unknown_persons_and_a_fallback_shows() -> None:
    item = a_result_detection(
        detection_type="object", class_name="backpack", decision=None, quality=None
    )
    use = ModelUse(
        task="face-detection", model_id="m", name="M", version="1", device="CPU",
        engine="onnxruntime", latency_ms=1.0, fallback_used=True,
    )  # fmt: skip
    result = a_frame_result(detections=(item,), models=(use,))
    rendered = render_result(result, {}, with_snapshots=True)
    assert rendered["summary"]["unknown_persons"] == 0
    assert rendered["detections"][0]["snapshot"] is None
    assert rendered["model_info"]["fallback_used"]
    assert rendered["model_info"]["recognition_model"] is None


def test_both_kinds_of_embeddings_are_read() -> None:
    half = an_embedding(dtype="float16", dim=2, vector=b"\x00\x3c\x00\x38")
    assert vector(half) == [1.0, 0.5]
    assert vector(an_embedding(0.25)) == [0.25]


@pytest.mark.parametrize(
    ("url", "clean", "username", "password"),
    [
        ("rtsp://a/b", "rtsp://a/b", None, None),
        ("rtsp://u:p@a:554/b?c=d#e", "rtsp://a:554/b?c=d", "u", "p"),
        ("rtsps://u%40x:p%3A@[::1]/", "rtsps://[::1]/", "u@x", "p:"),
    ],
)
def test_credentials_leave_the_address(
    url: str, clean: str, username: str | None, password: str | None
) -> None:
    address = split_credentials(url, field="f")
    assert (address.url, address.username, address.password) == (clean, username, password)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("rtsp://[a/", "INVALID_URL"),
        ("rtsp://admin:hunter2/b@host/", "INVALID_URL"),
    ],
)
def test_an_address_that_cannot_be_kept_is_refused_without_repeating_it(
    url: str, code: str
) -> None:
    with pytest.raises(ApiError) as refused:
        split_credentials(url, field="f")
    assert (refused.value.code, refused.value.field) == (code, "f")
    assert "hunter2" not in str(refused.value.envelope())


def test_times_are_read_and_written_in_utc() -> None:
    moment = parse("2025-11-06T14:45:23.123+02:00")
    assert iso(moment) == "2025-11-06T12:45:23.123Z"
    assert iso(None) is None
    assert milliseconds(moment, moment - timedelta(seconds=1)) == 0
    for text in ("", "2025-11-06", "1969-01-01T00:00:00Z", "2025-11-06T12:45:23"):
        with pytest.raises(ValueError, match=r".+"):
            parse(text)


def test_a_models_own_name_comes_before_its_aliases() -> None:
    two = [a_model(), a_model(instance_id="two")]
    assert allowed_names(two, "face-detection") == [
        "yunet-2023mar", "retinaface-gpu", "yolo-face-cpu",
    ]  # fmt: skip


LIVE, ERROR, STOPPED = StreamState.LIVE, StreamState.ERROR, StreamState.STOPPED
MODELS = (
    a_model(heartbeat_at=NOON),
    a_model(task="face-recognition", heartbeat_at=NOON),
)


@pytest.mark.parametrize(
    ("cameras", "models", "age", "states"),
    [
        ([], MODELS, None, "idle ok ok idle ok"),
        ([LIVE, STOPPED], MODELS, 1.0, "ok ok ok ok ok"),
        ([LIVE, ERROR], MODELS, 60.0, "degraded ok ok down ok"),
        ([ERROR], MODELS[:1], None, "down ok down idle ok"),
        ([STOPPED], (), 5.0, "idle down down ok ok"),
    ],
)
def test_each_stage_has_a_state(
    cameras: list[StreamState], models: tuple[ModelStatus, ...], age: float | None, states: str
) -> None:
    health = render_health(
        now=NOON + timedelta(seconds=5), models=models, cameras=cameras, result_age=age, problems={}
    )
    assert " ".join(stage["state"] for stage in health["stages"].values()) == states
    ill = {"down", "degraded"} & set(states.split())
    assert health["status"] == ("degraded" if ill else "ok")


def test_a_model_without_a_heartbeat_is_not_there() -> None:
    late = NOON + timedelta(seconds=11)
    health = render_health(
        now=late, models=MODELS, cameras=(), result_age=None, problems={"x": "y"}
    )
    assert health["stages"]["detection"]["state"] == "down"
    assert health["stages"]["gateway"] == {"state": "degraded", "problems": {"x": "y"}}


@pytest.mark.parametrize(
    ("stood_in", "used", "model"),
    [(None, None, None), (False, False, None), (True, True, "M")],
)
def test_a_timeout_tells_of_a_fallback_only_what_is_known(
    stood_in: bool | None, used: bool | None, model: str | None
) -> None:
    use = ModelUse(
        task="face-detection", model_id="m", name="M", version="1", device="CPU",
        engine="onnxruntime", latency_ms=1.0, fallback_used=bool(stood_in),
    )  # fmt: skip
    models = () if stood_in is None else (use,)
    result = a_frame_result(
        outcome=Outcome.FAILED, reason="model_timeout", detections=(), models=models
    )
    answer = Answer(
        request_id="req_1", kind="frame", status="error", code="MODEL_TIMEOUT", message="late",
        result=result, answered_at=NOON,
    )  # fmt: skip
    with pytest.raises(ApiError) as raised:
        processed(answer, field="frame_data")
    assert raised.value.status == 504
    assert raised.value.details["fallback_used"] is used
    assert raised.value.details["fallback_model"] == model
    assert model_timeout("frame_1", 5000).details["fallback_used"] is None
