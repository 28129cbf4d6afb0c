"""The whole life of a request over HTTP: jobs, admission, the circuit, what is away."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from mesh.errors import TransientError
from mesh.events import Answer, FaceEmbedding, FrameCaptured
from mesh.testing import PERSON_ID, a_person, a_result_detection, an_embedding
from results.domain.admission import Load
from results.domain.errors import AwayError, UnansweredError
from results.domain.jobs import Callback, JobState, callback_body

from .conftest import CAMERA_ID, World, failed, recognised
from .test_process_frame import PATH, asynchronous, put

CALLBACK = "https://app.example.com/detection-callback"


async def post(world: World, body: dict[str, Any], **headers: str) -> Any:
    async with world.client("operator") as client:
        return await client.post(PATH, json=body, headers=headers)


async def job_of(world: World, job_id: str) -> dict[str, Any]:
    async with world.client("operator") as client:
        response = await client.get(f"/api/v1/jobs/{job_id}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_an_asynchronous_request_is_accepted_as_specified_and_ends_as_a_job(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    waiting: list[FrameCaptured] = []
    world.answer = lambda frame: waiting.append(frame)
    world.load.append(Load(queue=4, capacity=10, latency_ms=20))
    asynchronous(CALLBACK)(request_body)
    response = await post(world, request_body)
    accepted = response.json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/api/v1/jobs/{accepted['job_id']}"
    assert accepted == {
        "status": "accepted",
        "message": "Frame queued for processing",
        "job_id": accepted["job_id"],
        "frame_id": "frame_12345678",
        "estimated_completion_ms": 520,
        "queue_position": 5,
        "callback_url": CALLBACK,
    }
    before = await job_of(world, accepted["job_id"])
    assert (before["status"], before["result"], before["error"]) == ("processing", None, None)
    assert before["callback"]["state"] == "pending"
    world.deps.answers.deliver(recognised(waiting[0]))
    after = await job_of(world, accepted["job_id"])
    assert (after["status"], after["http_status"]) == ("completed", 200)
    assert after["result"]["detections"][0]["person"]["name"] == "Ada Lovelace"
    assert after["result"]["summary"]["identified_persons"] == 1


async def test_a_jobs_result_is_what_the_request_would_have_been_answered_with_at_once(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    item = FaceEmbedding(
        detection_id=a_result_detection().detection_id, embedding=an_embedding(0.5, 0.25)
    )
    frames: list[FrameCaptured] = []

    def answer(frame: FrameCaptured) -> Answer:
        frames.append(frame)
        assert frame.request is not None
        changes = {"request_id": frame.request.request_id, "embeddings": (item,)}
        return recognised(frames[0], **changes)

    world.answer = answer
    at_once = (await post(world, request_body)).json()
    asynchronous(None)(request_body)
    put("frame_id", "another")(request_body)
    accepted = (await post(world, request_body)).json()
    assert accepted["callback_url"] is None
    assert (await job_of(world, accepted["job_id"]))["result"] == at_once


async def test_a_failed_frame_is_a_failed_job_with_the_same_error(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda frame: failed(frame, "poison", "PROCESSING_FAILED")
    asynchronous(None)(request_body)
    job = await job_of(world, (await post(world, request_body)).json()["job_id"])
    assert (job["status"], job["http_status"], job["result"]) == ("failed", 500, None)
    assert job["error"]["code"] == "PROCESSING_FAILED"
    assert job["error"]["frame_id"] == "frame_12345678"


async def test_a_repeated_asynchronous_request_is_answered_with_the_first_job(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    asynchronous(None)(request_body)
    first = (await post(world, request_body)).json()
    second = await post(world, request_body)
    assert second.status_code == 200
    assert second.json()["status"] == "duplicate"
    assert second.json()["job_id"] == first["job_id"]
    assert len(world.jobs.known) == 1


async def test_a_job_that_nobody_answers_fails_in_the_end(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda _: None
    asynchronous(None)(request_body)
    accepted = (await post(world, request_body)).json()
    (job,) = world.jobs.known.values()
    late = job.deadline + timedelta(seconds=60)
    ended = world.jobs.job(accepted["job_id"], late)
    assert ended is not None
    assert ended.ending is not None
    assert ended.state is JobState.FAILED
    assert ended.ending.body["error"]["code"] == "MODEL_TIMEOUT"
    assert ended.ending.body["error"]["timeout_ms"] == 5000


async def test_what_the_mesh_did_not_take_is_no_job(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    asynchronous(None)(request_body)
    world.publisher.failure = TransientError("no broker")
    response = await post(world, request_body)
    assert (response.status_code, response.json()["error"]["dependency"]) == (503, "broker")
    assert not world.jobs.known
    world.publisher.failure = None
    assert (await post(world, request_body)).status_code == 202


async def test_unknown_and_malformed_jobs_are_told_apart(world: World) -> None:
    async with world.client("operator") as client:
        unknown = await client.get("/api/v1/jobs/job_00000000-0000-4000-8000-000000000001")
        malformed = await client.get("/api/v1/jobs/job_1")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "JOB_NOT_FOUND")
    assert (malformed.status_code, malformed.json()["error"]["field"]) == (422, "job_id")


async def test_a_callback_says_what_the_specification_says(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    asynchronous(CALLBACK)(request_body)
    accepted = (await post(world, request_body)).json()
    job = world.jobs.known[accepted["job_id"]]
    body = callback_body(job, {PERSON_ID: a_person()})
    assert (body["job_id"], body["status"]) == (accepted["job_id"], "completed")
    assert body["detections"][0]["person"]["name"] == "Ada Lovelace"
    assert callback_body(job, {})["detections"][0]["person"]["name"] is None
    assert job.callback == Callback(url=CALLBACK)


@pytest.mark.parametrize(
    ("load", "priority", "status"),
    [
        (Load(queue=11), "normal", 429),
        (Load(queue=11), "urgent", 200),
        (Load(utilisation={"detection": 0.95}), "low", 429),
        (Load(utilisation={"detection": 0.95}), "normal", 200),
    ],
)
async def test_admission_refuses_with_the_time_to_come_back(
    world: World, request_body: dict[str, Any], load: Load, priority: str, status: int
) -> None:
    world.add_camera()
    world.load.append(load)
    put("detection_options.processing.priority", priority)(request_body)
    response = await post(world, request_body)
    assert response.status_code == status, response.text
    if status == 429:
        assert response.json()["error"]["code"] == "OVERLOADED"
        assert int(response.headers["Retry-After"]) >= 1
        world.load.append(Load())
        assert (await post(world, request_body)).json()["status"] == "success"


async def test_urgent_pictures_of_one_client_are_limited(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    put("detection_options.processing.priority", "urgent")(request_body)
    answers = []
    for number in range(3):
        put("frame_id", f"urgent_{number}")(request_body)
        answers.append(await post(world, request_body))
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["error"]["code"] == "RATE_LIMITED"


async def test_failures_in_a_row_open_the_circuit_and_health_tells(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda frame: failed(frame, "engine_error", "PROCESSING_FAILED")
    for number in range(5):
        put("frame_id", f"bad_{number}")(request_body)
        assert (await post(world, request_body)).status_code == 500
    put("frame_id", "after")(request_body)
    response = await post(world, request_body)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "CIRCUIT_OPEN")
    assert response.headers["Retry-After"] == "60"
    async with world.client() as client:
        health = (await client.get("/health")).json()
        stages = (await client.get("/api/v1/system/health")).json()["stages"]
    assert health["circuit"] == {"state": "open", "opened": 1}
    assert stages["gateway"]["circuit"]["state"] == "open"


async def test_urgent_pictures_pass_an_open_circuit(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda frame: failed(frame, "poison", "PROCESSING_FAILED")
    for number in range(6):
        put("frame_id", f"frame_{number}")(request_body)
        last = await post(world, request_body)
    assert last.json()["error"]["code"] == "CIRCUIT_OPEN"
    world.answer = recognised
    put("detection_options.processing.priority", "urgent")(request_body)
    assert (await post(world, request_body)).json()["status"] == "success"


async def test_clients_that_wait_too_briefly_do_not_open_the_circuit(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.answer = lambda _: None
    put("detection_options.processing.timeout_ms", 1000)(request_body)
    hasty = [{**request_body, "frame_id": f"hasty_{number}"} for number in range(6)]
    answers = await asyncio.gather(*(post(world, body) for body in hasty))
    assert {answer.status_code for answer in answers} == {504}
    assert world.deps.requests.gate.watch() == "closed"


@pytest.mark.parametrize(
    ("failure", "code", "dependency"),
    [
        (AwayError("registry", "no registry"), "MESH_UNAVAILABLE", "registry"),
        (TransientError("no broker"), "MESH_UNAVAILABLE", "broker"),
    ],
)
async def test_what_is_away_is_named(
    world: World,
    request_body: dict[str, Any],
    failure: Exception,
    code: str,
    dependency: str,
) -> None:
    world.add_camera()
    world.publisher.failure = failure
    response = await post(world, request_body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["dependency"]) == (503, code, dependency)
    assert response.headers["Retry-After"] == "1"


async def test_a_database_that_is_away_is_named_and_nothing_is_published(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    world.jobs.failure = AwayError("database", "no database")
    asynchronous(None)(request_body)
    response = await post(world, request_body)
    assert (response.status_code, response.json()["error"]["dependency"]) == (503, "database")
    assert not world.publisher.published


async def test_a_job_that_the_broker_may_have_taken_is_told_to_the_repetition(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    asynchronous(None)(request_body)
    world.publisher.failure = UnansweredError("broker", "it did not answer within 5 s")
    assert (await post(world, request_body)).status_code == 503
    world.publisher.failure = None
    body = (await post(world, request_body)).json()
    assert (body["status"], body["job_id"]) == ("duplicate", next(iter(world.jobs.known)))
    assert not world.publisher.published


async def test_a_frame_that_another_gateway_took_is_answered_from_what_the_mesh_said(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    identifiers = world.deps.requests.claims._identifiers
    until = datetime.now(UTC) + timedelta(minutes=5)
    other = "req_00000000-0000-4000-8000-00000000000a"
    identifiers.claim(CAMERA_ID, "frame_12345678", request_id=other, until=until)
    asking = asyncio.create_task(post(world, request_body))
    put("frame_id", "elsewhere")(probe := dict(request_body))
    await post(world, probe)
    (frame,) = world.sent("frames.request")
    world.deps.answers.deliver(recognised(frame, request_id=other))
    body = (await asking).json()
    assert (body["status"], len(body["detections"])) == ("duplicate", 1)
    assert len(world.sent("frames.request")) == 1


async def test_the_requests_identifier_travels_with_the_frame(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    response = await post(world, request_body, **{"X-Request-ID": "abc,1"})
    assert response.headers["X-Request-ID"] == "abc,1"
    name, _, value = world.publisher.published[0].headers["baggage"].decode().partition("=")
    assert (name, unquote(value)) == ("request_id", "abc,1")
