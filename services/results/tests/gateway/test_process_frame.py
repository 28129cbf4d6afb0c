"""`process-frame`: what comes back, and every bad input by name."""

import asyncio
import base64
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from PIL import Image

from mesh.errors import TransientError
from mesh.events import INLINE_BYTES, FaceEmbedding, FrameCaptured, Lane, Outcome
from mesh.stage import Output
from mesh.testing import a_result_detection, an_embedding
from results.domain.errors import AwayError, UnansweredError

from .conftest import CAMERA_ID, World, a_picture, a_result_of, failed, recognised

PATH = "/api/v1/detections/process-frame"
Change = Callable[[dict[str, Any]], Any]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def with_picture(data: bytes) -> Change:
    return lambda body: body.update(frame_data=encoded(data), frame_metadata={})


def put(path: str, value: Any) -> Change:
    """A change of one field, by its dotted path."""

    def change(body: dict[str, Any]) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            body = body[parent]
        body[name] = value

    return change


def asynchronous(callback_url: str | None) -> Change:
    """An asynchronous request with this callback."""

    def change(body: dict[str, Any]) -> None:
        put("detection_options.processing.async", True)(body)
        put("client_context.callback_url", callback_url)(body)

    return change


def a_png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


async def post(world: World, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with world.client("operator") as client:
        response = await client.post(PATH, json=body)
        return response.status_code, response.json()


async def test_the_example_request_is_answered_as_specified(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    status, body = await post(world, request_body)
    assert status == 200
    assert list(body) == [
        "status", "message", "processing_info", "detections", "summary", "model_info",
    ]  # fmt: skip
    assert body["status"] == "success"
    assert body["processing_info"]["frame_id"] == "frame_12345678"
    assert body["processing_info"]["camera_name"] == "Main Entrance"
    assert body["processing_info"]["timestamp"] == "2025-11-06T12:45:23.123Z"
    detection = body["detections"][0]
    assert detection["person"]["name"] == "Ada Lovelace"
    assert detection["snapshot"]["url"].endswith(f"{detection['detection_id']}/snapshot")
    assert detection["embedding"] is None
    assert body["summary"] == {
        "total_detections": 1, "identified_persons": 1, "unknown_persons": 0, "avg_confidence": 0.9,
    }  # fmt: skip
    assert body["model_info"]["recognition_model"]["embedding_size"] == 256


async def test_the_frame_carries_what_was_asked_for(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    await post(world, request_body)
    frame: FrameCaptured = world.sent("frames.request")[0]
    assert frame.request is not None
    assert frame.request.min_face_size == 80
    assert frame.request.recognition_model == "arcface-512d"
    assert frame.request.return_snapshots
    assert frame.frame.lane is Lane.REQUEST
    assert (frame.frame.width, frame.frame.height) == (64, 48)
    assert frame.frame.deadline is not None
    waited = frame.frame.deadline - frame.frame.received_timestamp
    assert waited.total_seconds() == 5.0
    assert world.publisher.published[0].headers["traceparent"]


async def test_urgent_pictures_have_their_own_lane(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    put("detection_options.processing.priority", "urgent")(request_body)
    await post(world, request_body)
    assert world.sent("frames.urgent")[0].frame.lane is Lane.URGENT


async def test_numbers_of_a_camera_rise_and_reach_the_ledger(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    for number in range(3):
        put("frame_id", f"frame_{number}")(request_body)
        await post(world, request_body)
    frames = [frame.frame for frame in world.sent("frames.request")]
    assert [frame.sequence_number for frame in frames] == [0, 1, 2]
    assert len({frame.epoch for frame in frames}) == 1
    await world.deps.requests.report(closing=True)
    (entry,) = world.sent("ledger")
    assert (entry.outcome, entry.lane, entry.closes_epoch) == ("captured", Lane.REQUEST, True)
    assert [(each.first, each.last) for each in entry.ranges] == [(0, 2)]


async def test_no_face_is_a_success_with_the_specifications_message(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda frame: recognised(frame, result=a_result_of(frame, detections=()))
    status, body = await post(world, request_body)
    assert status == 200
    assert body["message"] == "No faces detected in frame"
    assert body["detections"] == []
    assert body["summary"] == {
        "total_detections": 0, "identified_persons": 0, "unknown_persons": 0,
    }  # fmt: skip


async def test_embeddings_come_back_if_asked_for(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    item = FaceEmbedding(
        detection_id=a_result_detection().detection_id, embedding=an_embedding(0.5, 0.25)
    )
    world.answer = lambda frame: recognised(frame, embeddings=(item,))
    _, body = await post(world, request_body)
    assert body["detections"][0]["embedding"] == [0.5, 0.25]


async def test_a_large_picture_travels_as_it_came(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    out = io.BytesIO()
    Image.effect_noise((1200, 1000), 120).convert("RGB").save(out, "PNG")
    with_picture(out.getvalue())(request_body)
    status, _ = await post(world, request_body)
    frame: FrameCaptured = world.sent("frames.request")[0]
    assert status == 200
    assert len(out.getvalue()) > INLINE_BYTES
    assert (frame.image, frame.image_format) == (out.getvalue(), "png")
    assert (frame.frame.width, frame.frame.height) == (1200, 1000)


async def test_a_repeated_frame_is_answered_with_the_first_result(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    _, first = await post(world, request_body)
    status, second = await post(world, request_body)
    assert status == 200
    assert second["status"] == "duplicate"
    assert second["message"] == "Frame already processed"
    assert second["detections"] == first["detections"]
    assert len(world.sent("frames.request")) == 1


async def test_a_repetition_waits_for_the_first_that_is_still_on_its_way(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    waiting: list[FrameCaptured] = []
    world.answer = lambda frame: waiting.append(frame)
    both = [asyncio.create_task(post(world, request_body)) for _ in range(2)]
    while not waiting:  # noqa: ASYNC110 -- the mesh's side runs in a thread
        await asyncio.sleep(0)
    world.deps.answers.deliver(recognised(waiting[0]))
    answers = [body for _, body in await asyncio.gather(*both)]
    assert sorted(body["status"] for body in answers) == ["duplicate", "success"]
    assert len(waiting) == 1


async def test_a_repeated_bad_picture_is_refused_alike(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda frame: failed(frame, "unreadable_image", "FRAME_UNREADABLE")
    first = await post(world, request_body)
    second = await post(world, request_body)
    assert first[0] == second[0] == 422
    assert first[1]["error"]["code"] == second[1]["error"]["code"] == "FRAME_UNREADABLE"
    assert second[1]["error"]["duplicate"] is True
    assert len(world.sent("frames.request")) == 1


async def test_no_answer_in_time_is_the_specifications_timeout(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda _: None
    put("detection_options.processing.timeout_ms", 1000)(request_body)
    status, body = await post(world, request_body)
    assert status == 504
    assert body["error"]["code"] == "MODEL_TIMEOUT"
    assert body["error"]["timeout_ms"] == 1000
    assert body["error"]["frame_id"] == "frame_12345678"


async def test_after_a_timeout_the_same_frame_is_asked_for_again_and_not_processed_twice(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda _: None
    put("detection_options.processing.timeout_ms", 1000)(request_body)
    assert [(await post(world, request_body))[0] for _ in range(2)] == [504, 504]
    (frame,) = world.sent("frames.request")
    world.deps.answers.deliver(recognised(frame))
    status, body = await post(world, request_body)
    assert (status, body["status"], len(body["detections"])) == (200, "duplicate", 1)
    assert len(world.sent("frames.request")) == 1


async def test_after_a_timeout_and_a_late_failure_the_frame_is_processed_anew(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda _: None
    put("detection_options.processing.timeout_ms", 1000)(request_body)
    await post(world, request_body)
    (frame,) = world.sent("frames.request")
    world.deps.answers.deliver(failed(frame, "deadline", "DEADLINE_EXCEEDED"))
    world.answer = recognised
    assert (await post(world, request_body))[1]["status"] == "success"


async def test_a_frame_that_the_broker_may_have_taken_is_not_sent_again(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    taken: list[FrameCaptured] = []

    def silent(output: Output) -> None:
        assert isinstance(output.event, FrameCaptured)
        taken.append(output.event)
        raise UnansweredError("broker", "it did not answer within 5 s")

    world.publisher.react = silent
    assert (await post(world, request_body))[1]["error"]["code"] == "MESH_UNAVAILABLE"
    world.deps.answers.deliver(recognised(taken[0]))
    assert (await post(world, request_body))[1]["status"] == "duplicate"
    assert len(taken) == 1


async def test_a_result_that_could_not_be_shown_is_shown_to_the_repetition(
    world: World, request_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_camera()

    def away(_: object) -> NoReturn:
        raise AwayError("database", "no names")

    with monkeypatch.context() as broken:
        broken.setattr(world.deps.names, "named", away)
        assert (await post(world, request_body))[0] == 503
    assert (await post(world, request_body))[1]["status"] == "duplicate"
    assert len(world.sent("frames.request")) == 1


async def test_a_frame_that_was_shed_can_be_sent_again(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()

    def shed(frame: FrameCaptured) -> Any:
        result = a_result_of(frame, outcome=Outcome.SHED, reason="overload", detections=())
        return recognised(frame, status="error", code="OVERLOADED", result=result)

    world.answer = shed
    status, body = await post(world, request_body)
    assert (status, body["error"]["code"], body["error"]["reason"]) == (
        503,
        "OVERLOADED",
        "overload",
    )
    world.answer = recognised
    assert (await post(world, request_body))[1]["status"] == "success"


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        ("poison", "PROCESSING_FAILED", 500),
        ("deadline", "DEADLINE_EXCEEDED", 504),
        ("unreadable_image", "FRAME_UNREADABLE", 422),
    ],
)
async def test_a_failed_frame_says_why(
    world: World, request_body: dict[str, Any], reason: str, code: str, status: int
) -> None:
    world.add_camera()
    world.answer = lambda frame: failed(frame, reason, code)
    answered, body = await post(world, request_body)
    assert answered == status
    assert body["error"]["reason"] == reason
    assert body["error"]["frame_id"] == "frame_12345678"


async def test_engines_that_hang_are_the_specifications_timeout(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda frame: failed(frame, "model_timeout", "MODEL_TIMEOUT")
    put("detection_options.processing.timeout_ms", 7000)(request_body)
    status, body = await post(world, request_body)
    assert status == 504
    assert body["error"] == {
        "code": "MODEL_TIMEOUT",
        "message": "Detection model exceeded its timeout within the request's (7000ms). "
        "Frame dropped.",
        "field": None,
        "limit": None,
        "frame_id": "frame_12345678",
        "reason": "model_timeout",
        "timeout_ms": 7000,
        "fallback_used": False,
        "fallback_model": None,
    }


async def test_a_broker_that_is_away_is_told_and_the_frame_can_be_sent_again(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.publisher.failure = TransientError("no broker")
    status, body = await post(world, request_body)
    assert (status, body["error"]["code"]) == (503, "MESH_UNAVAILABLE")
    world.publisher.failure = None
    assert (await post(world, request_body))[1]["status"] == "success"
    await world.deps.requests.report()
    booked = {entry.outcome: entry.ranges[0].first for entry in world.sent("ledger")}
    assert booked == {"lost": 0, "captured": 1}


async def test_a_report_that_the_broker_did_not_take_is_told_later(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.publisher.failure = TransientError("no broker")
    await post(world, request_body)
    with pytest.raises(TransientError):
        await world.deps.requests.report()
    world.publisher.failure = None
    await world.deps.requests.report()
    (entry,) = world.sent("ledger")
    assert (entry.outcome, entry.reason) == ("lost", "unacknowledged")
    assert [(each.first, each.last) for each in entry.ranges] == [(0, 0)]


BAD: dict[str, tuple[Change, int, str, str]] = {
    "no image": (put("frame_data", ""), 422, "IMAGE_MISSING", "frame_data"),
    "image left out": (lambda b: b.pop("frame_data"), 422, "MISSING_FIELD", "frame_data"),
    "wrong magic": (
        with_picture(b"GIF89a" + b"\0" * 40), 422, "IMAGE_FORMAT_UNSUPPORTED", "frame_data",
    ),
    "truncated jpeg": (with_picture(a_picture()[:-40]), 422, "IMAGE_UNREADABLE", "frame_data"),
    "truncated header": (with_picture(a_picture()[:30]), 422, "IMAGE_UNREADABLE", "frame_data"),
    "truncated png": (
        with_picture(a_png(9, 9)[:-8]), 422, "IMAGE_UNREADABLE", "frame_data",
    ),
    "bomb": (with_picture(a_png(20_000, 20_000)), 422, "IMAGE_TOO_MANY_PIXELS", "frame_data"),
    "50 Mpx and a row": (
        with_picture(a_png(10_000, 5001)), 422, "IMAGE_TOO_MANY_PIXELS", "frame_data",
    ),
    "0x0": (with_picture(a_png(0, 0)), 422, "IMAGE_EMPTY", "frame_data"),
    "over 5 MB": (
        with_picture(b"\xff\xd8\xff" + b"\0" * 5_242_880), 413, "IMAGE_TOO_LARGE", "frame_data",
    ),
    "no base64": (put("frame_data", "%%%%"), 422, "INVALID_BASE64", "frame_data"),
    "declared png": (
        put("frame_metadata.format", "png"), 422, "IMAGE_FORMAT_MISMATCH", "frame_data",
    ),
    "declared bmp": (
        put("frame_metadata.format", "bmp"), 422, "VALUE_NOT_ALLOWED", "frame_metadata.format",
    ),
    "bad camera id": (put("camera_id", "cam_001"), 422, "INVALID_ID", "camera_id"),
    "unknown camera": (
        put("camera_id", "cam_00000000-0000-4000-8000-0000000000ff"), 404, "CAMERA_NOT_FOUND",
        "camera_id",
    ),
    "unknown field": (put("colour", "red"), 422, "UNKNOWN_FIELD", "colour"),
    "unknown nested field": (
        put("detection_options.parameters.min_faces", 1), 422, "UNKNOWN_FIELD",
        "detection_options.parameters.min_faces",
    ),
    "no timestamp": (put("timestamp", "yesterday"), 422, "INVALID_TIMESTAMP", "timestamp"),
    "timestamp without zone": (
        put("timestamp", "2025-11-06T12:45:23"), 422, "INVALID_TIMESTAMP", "timestamp",
    ),
    "timestamp as number": (put("timestamp", 1762433123), 422, "INVALID_TIMESTAMP", "timestamp"),
    "priority": (
        put("detection_options.processing.priority", "asap"), 422, "VALUE_NOT_ALLOWED",
        "detection_options.processing.priority",
    ),
    "stream type": (put("stream_type", "HLS"), 422, "VALUE_NOT_ALLOWED", "stream_type"),
    "stream type in small letters": (
        put("stream_type", "rtsp"), 422, "VALUE_NOT_ALLOWED", "stream_type",
    ),
    "detection model": (
        put("detection_options.models.detection", "yolo99"), 422, "MODEL_UNKNOWN",
        "detection_options.models.detection",
    ),
    "recognition model for detection": (
        put("detection_options.models.detection", "arcface-512d"), 422, "MODEL_UNKNOWN",
        "detection_options.models.detection",
    ),
    "model type": (
        put("detection_options.model_type", "mood"), 422, "MODEL_TYPE_UNKNOWN",
        "detection_options.model_type",
    ),
    "model type that nothing serves": (
        put("detection_options.model_type", "person-detection"), 422, "TASK_UNAVAILABLE",
        "detection_options.model_type",
    ),
    "confidence": (
        put("detection_options.parameters.min_confidence", 1.5), 422, "OUT_OF_RANGE",
        "detection_options.parameters.min_confidence",
    ),
    "time-out": (
        put("detection_options.processing.timeout_ms", 1), 422, "OUT_OF_RANGE",
        "detection_options.processing.timeout_ms",
    ),
    "callback inside": (
        asynchronous("http://inside.example.com/x"), 422, "CALLBACK_FORBIDDEN",
        "client_context.callback_url",
    ),
    "callback nowhere": (
        asynchronous("http://nowhere.example.com/x"), 422, "CALLBACK_UNRESOLVED",
        "client_context.callback_url",
    ),
    "callback with credentials": (
        asynchronous("https://me:secret@app.example.com/x"), 422, "INVALID_FORMAT",
        "client_context.callback_url",
    ),
    "callback": (
        put("client_context.callback_url", "ftp://x"), 422, "INVALID_FORMAT",
        "client_context.callback_url",
    ),
    "frame id": (put("frame_id", "a b"), 422, "INVALID_FORMAT", "frame_id"),
    "long frame id": (put("frame_id", "x" * 129), 422, "TOO_LONG", "frame_id"),
    "type": (put("frame_id", 7), 422, "INVALID_TYPE", "frame_id"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_with_code_field_and_limit(
    world: World, request_body: dict[str, Any], case: str
) -> None:
    change, status, code, field = BAD[case]
    world.add_camera()
    change(request_body)
    answered, body = await post(world, request_body)
    assert body["status"] == "error"
    error = body["error"]
    assert (answered, error["code"], error["field"]) == (status, code, field)
    assert error["limit"] is not None
    assert error["message"]
    assert world.publisher.published == []


async def test_allowed_values_are_listed(world: World, request_body: dict[str, Any]) -> None:
    world.add_camera()
    put("stream_type", "HLS")(request_body)
    _, body = await post(world, request_body)
    assert body["error"]["limit"] == ["RTSP", "USB", "HTTP_MJPEG", "WEBSOCKET", "SOCKET"]
    put("stream_type", "RTSP")(request_body)
    put("detection_options.models.detection", "yolo99")(request_body)
    _, body = await post(world, request_body)
    assert body["error"]["limit"] == ["yunet-2023mar", "retinaface-gpu", "yolo-face-cpu"]


async def test_models_that_have_not_reported_are_unavailable(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    for model in world.deps.state.models():
        world.deps.state.set_model(model.model_id, None)
    status, body = await post(world, request_body)
    assert (status, body["error"]["code"]) == (503, "MODEL_UNAVAILABLE")


async def test_several_problems_are_all_listed(world: World, request_body: dict[str, Any]) -> None:
    put("stream_type", "HLS")(request_body)
    put("camera_id", "x")(request_body)
    _, body = await post(world, request_body)
    assert [problem["field"] for problem in body["error"]["problems"]] == [
        "camera_id", "stream_type",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "{", "[1", "nonsense", '{"a": NaN'])
async def test_what_is_no_json_is_refused(world: World, text: str) -> None:
    async with world.client() as client:
        response = await client.post(
            PATH, content=text, headers={"Content-Type": "application/json"}
        )
    assert 400 <= response.status_code < 500
    assert response.json()["status"] == "error"


async def test_a_hostile_body_never_shows_a_stack_trace(world: World) -> None:
    deep = "[" * 100_000
    async with world.client() as client:
        response = await client.post(
            PATH, content=deep, headers={"Content-Type": "application/json"}
        )
    assert response.json()["status"] == "error"
    assert "Traceback" not in response.text


async def test_a_data_url_is_fine(world: World, request_body: dict[str, Any]) -> None:
    world.add_camera()
    body = request_body | {"frame_data": "data:image/jpeg;base64," + request_body["frame_data"]}
    assert (await post(world, body))[0] == 200


def test_the_cameras_identifier_is_the_specifications() -> None:
    assert CAMERA_ID == "cam_550e8400-e29b-41d4-a716-446655440000"
