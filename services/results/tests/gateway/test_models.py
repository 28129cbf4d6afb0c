"""Models over HTTP: what is loaded where, what that allows, and the command to switch."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.errors import TransientError
from mesh.events import FrameCaptured, ModelStatus, SwitchModel
from mesh.tasks import NEEDS
from mesh.testing import NOON
from results.adapters.gateway_metrics import GatewayMetrics
from results.adapters.http_fields import TASKS
from results.adapters.known_models import known_models
from results.adapters.live import LiveState
from results.domain.model_report import count_states, list_of, render_models, state_of
from results.domain.models import ALIVE_FOR, KNOWN_FOR, KnownModel

from .conftest import World, a_model
from .test_cameras import a_body
from .test_live import Ticks

CAMERAS = "/api/v1/cameras"
SWITCH = "/api/v1/models/switch"
FRAME = "/api/v1/detections/process-frame"
SECOND = timedelta(seconds=1)
SCRFD = KnownModel(
    model_id="scrfd-2.5g", task="face-detection", name="SCRFD 2.5G", version="1", licence="MIT",
    commercial=False, files=(("scrfd.onnx", "ab" * 32),), accept="research",
)  # fmt: skip
YUNET = KnownModel(
    model_id="yunet-2023mar", task="face-detection", name="YuNet", version="2023mar",
    licence="MIT", commercial=True, files=(("yunet.onnx", "0" * 64),),
)  # fmt: skip


def at(seconds: float, **changes: Any) -> ModelStatus:
    return a_model(heartbeat_at=NOON + timedelta(seconds=seconds), **changes)


def rendered(*statuses: ModelStatus, known: tuple[KnownModel, ...] = ()) -> dict[str, Any]:
    return render_models(statuses, known, NOON)


def the_model(*statuses: ModelStatus) -> dict[str, Any]:
    (model,) = rendered(*statuses)["detection_models"]
    shown: dict[str, Any] = model
    return shown


def load(world: World, task: str, **changes: Any) -> ModelStatus:
    """Let a model for a task report."""
    status = a_model(task=task, model_id=f"a-{task}", service="detection", **changes)
    world.deps.state.set_model(status.model_id, status)
    return status


def test_processes_of_one_model_are_one_entry_with_its_instances() -> None:
    fast = at(0, latency_p50_ms=5.0, latency_p99_ms=9.0, throughput_fps=10.0, queue=1)
    slow = at(0, instance_id="two", latency_p50_ms=8.0, throughput_fps=4.0, queue=2, device="GPU-0")
    model = the_model(slow, fast)
    assert (model["latency_p50_ms"], model["latency_p99_ms"]) == (8.0, 9.0)
    assert (model["throughput_fps"], model["queue"], model["max_batch_size"]) == (14.0, 3, 8)
    assert [(each["instance_id"], each["device"]) for each in model["instances"]] == [
        ("one", "CPU"), ("two", "GPU-0"),
    ]  # fmt: skip
    assert (model["state"], model["loaded"], model["is_available"]) == ("available", True, True)


def test_the_file_and_the_precision_are_shown_where_they_are_told() -> None:
    model = the_model(at(0, path="/models/yunet.onnx", precision="bf16"))
    assert (model["path"], model["precision"]) == ("/models/yunet.onnx", "bf16")
    assert model["instances"][0]["precision"] == "bf16"


def test_what_no_heartbeat_says_is_left_out() -> None:
    model = the_model(at(0))
    assert not {
        "path",
        "embedding_size",
        "threshold",
        "latency_p50_ms",
        "memory_mb",
        "commercial",
    } & {*model}
    assert None not in model.values()
    assert None not in model["instances"][0].values()


@pytest.mark.parametrize(
    ("states", "amount"),
    [
        ("available available", "available"),
        ("available degraded", "degraded"),
        ("available failed", "degraded"),
        ("failed failed", "failed"),
        ("failed loading", "failed"),
        ("loading", "loading"),
    ],
)
def test_a_model_is_as_well_as_its_processes(states: str, amount: str) -> None:
    found = [at(0, instance_id=str(n), state=each) for n, each in enumerate(states.split())]
    assert state_of(found, NOON) == amount


def test_a_silent_model_is_known_for_a_minute_and_then_forgotten() -> None:
    quiet = at(-ALIVE_FOR.total_seconds() - 1)
    model = the_model(quiet)
    assert (model["state"], model["loaded"], model["is_available"]) == ("silent", False, False)
    assert model["instances"][0]["state"] == "silent"
    assert rendered(at(-KNOWN_FOR.total_seconds() - 1))["detection_models"] == []


def test_a_model_that_a_process_has_exchanged_is_gone_at_once() -> None:
    shown = rendered(at(-5), at(0, model_id="scrfd-2.5g"), at(-5, instance_id="two"))
    assert [
        (model["model_id"], len(model["instances"])) for model in shown["detection_models"]
    ] == [("scrfd-2.5g", 1), ("yunet-2023mar", 1)]
    assert shown["detection_models"][1]["instances"][0]["instance_id"] == "two"


def test_models_of_the_registry_come_after_the_loaded_ones() -> None:
    shown = rendered(at(0), known=(SCRFD, YUNET))["detection_models"]
    assert [model["model_id"] for model in shown] == ["yunet-2023mar", "scrfd-2.5g"]
    assert (shown[0]["commercial"], shown[0]["files"]) == (True, ["yunet.onnx"])
    assert (shown[1]["state"], shown[1]["loaded"], shown[1]["instances"]) == (
        "not_loaded", False, [],
    )  # fmt: skip
    assert (shown[1]["commercial"], shown[1]["licence_to_accept"]) == (False, "research")
    assert "licence_to_accept" not in shown[0]
    assert shown[1]["sha256"] == {"scrfd.onnx": "ab" * 32}


def test_what_was_measured_is_shown_with_its_origin_and_nothing_else() -> None:
    yunet = replace(YUNET, accuracy_map=0.8, min_face_size=10, accuracy_origin="our own gate")
    first, second = rendered(at(0), known=(SCRFD, yunet))["detection_models"]
    assert (first["priority"], first["accuracy_map"], first["min_face_size"]) == (1, 0.8, 10)
    assert (first["accuracy_origin"], "accuracy_lfw" in first) == ("our own gate", False)
    assert not {"priority", "accuracy_map", "accuracy_origin", "min_face_size"} & {*second}


def test_the_accuracy_of_the_default_embedder_is_what_the_page_says() -> None:
    known = {model.model_id: model for model in known_models()}
    (shown,) = rendered(known=(known["omz-face-reid-0095"],))["recognition_models"]
    page = (Path(__file__).parents[4] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert f"| omz-face-reid-0095 | **{100 * shown['accuracy_lfw']:.2f} %**" in page
    assert shown["accuracy_origin"].startswith("LFW, folds 1 to 5 (3,000 pairs)")


def test_every_task_has_its_list_and_says_what_it_allows() -> None:
    shown = rendered(
        at(0), at(0, task="object-detection", model_id="yolox-nano"),
        at(0, task="face-landmarks", model_id="face-landmarker", state="failed"),
    )  # fmt: skip
    assert [model["model_id"] for model in shown["detection_models"]] == [
        "yunet-2023mar", "yolox-nano",
    ]  # fmt: skip
    assert shown["recognition_models"] == []
    assert shown["face_landmarks_models"][0]["state"] == "failed"
    possible = {task for task, each in shown["tasks"].items() if each["is_available"]}
    assert possible == {"face", "person", "vehicle", "object", "activity"}
    assert shown["tasks"]["vehicle"]["models"] == ["yolox-nano"]
    assert shown["tasks"]["drowsiness"]["needs"] == ["face-landmarks", "eye-state"]
    assert list_of("age-gender") == "age_gender_models"


def test_the_registry_file_is_readable_as_known_models() -> None:
    known = {model.model_id: model for model in known_models()}
    assert known["yunet-2023mar"].task == "face-detection"
    assert len(known["omz-face-reid-0095"].files) == 2


def test_models_of_the_users_own_are_known_too(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(
        """
        [models.mine]
        task = "face-detection"
        name = "Mine"
        version = "1"
        engines = ["onnxruntime"]
        decoder = "yolov8-face"
        licence = "AGPL-3.0"
        commercial = false
        input = { width = 640, height = 640, multiple = 32, colour = "RGB", scale = 255 }
        files = [{ name = "mine.onnx" }]
        """,
        encoding="utf-8",
    )
    shown = {
        model["model_id"]: model for model in rendered(known=known_models(own))["detection_models"]
    }
    assert shown["mine"]["files"] == ["mine.onnx"]
    assert "sha256" not in shown["mine"]
    assert "yunet-2023mar" in shown


def test_the_tasks_of_the_interface_are_those_of_the_mesh() -> None:
    assert {*TASKS} == {*NEEDS}


def test_each_engine_of_a_process_is_remembered_until_it_is_long_silent() -> None:
    ticks = Ticks()
    state = LiveState(ticks)
    for status in (at(0, device="GPU-0", state="failed"), at(1), at(2)):
        state.set_model(status.model_id, status)
    assert [status.device for status in state.models()] == ["GPU-0", "CPU"]
    ticks.now = KNOWN_FOR.total_seconds()
    fast = at(3600, instance_id="of a clock that is wrong")
    state.set_model(fast.model_id, fast)
    assert len(state.models()) == 3
    ticks.now += 1
    state.set_model(fast.model_id, fast)
    assert state.models() == [fast]


def test_processes_are_counted_by_state_and_what_is_gone_is_no_sample() -> None:
    figures = CollectorRegistry()
    metrics = GatewayMetrics(figures)
    labels = {"task": "face-detection", "model": "yunet-2023mar"}

    def shown(state: str) -> float | None:
        name = "sightline_model_processes"
        return figures.get_sample_value(name, {**labels, "state": state})

    metrics.models(
        count_states([at(0), at(0, instance_id="two"), at(-20, instance_id="three")], NOON)
    )
    assert (shown("available"), shown("silent"), shown("failed")) == (2, 1, None)
    metrics.models(count_states([at(0, state="failed")], NOON))
    assert (shown("available"), shown("failed")) == (None, 1)


async def test_all_paths_of_the_list_say_the_same_and_need_a_token(world: World) -> None:
    paths = ("/api/v1/models", "/api/v1/models/info", "/api/models/info")
    async with world.client("viewer") as client:
        bodies = [(await client.get(path)).json() for path in paths]
    async with world.client(None) as nobody:
        codes = [(await nobody.get(path)).status_code for path in paths]
    assert bodies[0] == bodies[1] == bodies[2]
    assert codes == [401] * 3


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        ("vehicle", ["object-detection"]),
        ("drowsiness", ["face-landmarks", "eye-state"]),
        ("liveness", ["liveness"]),
    ],
)
async def test_a_camera_gets_no_task_that_no_loaded_model_serves(
    world: World, task: str, needs: list[str]
) -> None:
    body = a_body(detection_config={"tasks": ["face", task]})
    async with world.client() as client:
        refused = await client.post(CAMERAS, json=body)
        load(world, needs[-1])
        accepted = await client.post(CAMERAS, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (422, "TASK_UNAVAILABLE")
    assert error["field"] == "detection_config.tasks.1"
    assert (error["limit"], error["task"], error["needs"]) == (["face"], task, needs)
    assert "yunet-2023mar (face-detection)" in error["loaded"]
    assert needs[0] in error["message"]
    assert accepted.json()["detection_config"]["tasks"] == ["face", task]


async def test_faces_are_accepted_before_any_model_has_reported(world: World) -> None:
    for model in world.deps.state.models():
        world.deps.state.set_model(model.model_id, None)
    async with world.client() as client:
        response = await client.post(CAMERAS, json=a_body(detection_config={"tasks": ["face"]}))
    assert response.status_code == 201


async def test_a_camera_keeps_its_tasks_while_their_model_is_away(world: World) -> None:
    status = load(world, "object-detection")
    body = a_body(detection_config={"tasks": ["vehicle"]})
    async with world.client() as client:
        path = f"{CAMERAS}/{(await client.post(CAMERAS, json=body)).json()['camera_id']}"
        world.deps.state.set_model(status.model_id, None)
        kept = await client.patch(path, json={"detection_config": {"tasks": ["vehicle", "face"]}})
        added = await client.patch(path, json={"detection_config": {"tasks": ["person"]}})
    assert kept.json()["detection_config"]["tasks"] == ["vehicle", "face"]
    assert added.json()["error"]["field"] == "detection_config.tasks.0"


async def test_the_long_side_of_a_camera_is_set_and_given_back_to_the_service(
    world: World,
) -> None:
    async with world.client() as client:
        made = (await client.post(CAMERAS, json=a_body())).json()
        path = f"{CAMERAS}/{made['camera_id']}"
        far = await client.patch(path, json={"detection_config": {"long_side": 1280}})
        near = await client.patch(path, json={"detection_config": {"long_side": None}})
        bad = await client.patch(path, json={"detection_config": {"long_side": 200}})
    sides = [each.json()["detection_config"]["long_side"] for each in (far, near)]
    assert (made["detection_config"]["long_side"], sides) == (None, [1280, None])
    error = bad.json()["error"]
    assert (error["code"], error["field"]) == ("OUT_OF_RANGE", "detection_config.long_side")
    assert error["limit"] == 320


async def test_a_pushed_picture_may_be_searched_for_more_than_faces(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    options = request_body["detection_options"]
    options |= {"model_type": "person-detection", "tasks": ["vehicle", "vehicle"], "models": {}}
    async with world.client("operator") as client:
        refused = (await client.post(FRAME, json=request_body)).json()["error"]
        load(world, "object-detection")
        options["models"] = {"detection": "a-object-detection"}
        answered = await client.post(FRAME, json=request_body)
        options |= {"models": {"detection": "yunet-2023mar"}}
        wrong = (await client.post(FRAME, json=request_body)).json()["error"]
    assert (refused["code"], refused["field"]) == (
        "TASK_UNAVAILABLE", "detection_options.model_type",
    )  # fmt: skip
    assert refused["limit"] == ["face-recognition", "face-detection"]
    assert answered.status_code == 200, answered.text
    (frame,) = world.sent("frames.request")
    assert isinstance(frame, FrameCaptured)
    assert frame.request is not None
    assert (frame.request.model_type, frame.request.tasks) == ("person-detection", ("vehicle",))
    assert wrong["code"] == "MODEL_UNKNOWN"
    assert "a-object-detection" in wrong["limit"]


async def test_a_task_of_a_picture_is_refused_by_its_place(
    world: World, request_body: dict[str, Any]
) -> None:
    world.add_camera()
    async with world.client("operator") as client:
        request_body["detection_options"]["tasks"] = ["face", "liveness"]
        unserved = (await client.post(FRAME, json=request_body)).json()["error"]
        request_body["detection_options"]["tasks"] = ["ears"]
        unknown = (await client.post(FRAME, json=request_body)).json()["error"]
    assert (unserved["code"], unserved["field"]) == (
        "TASK_UNAVAILABLE", "detection_options.tasks.1",
    )  # fmt: skip
    assert unknown["field"] == "detection_options.tasks.0"
    assert "liveness" in unknown["limit"]


async def switched(
    world: World, task: str, model_id: str, role: str = "admin"
) -> tuple[int, dict[str, Any]]:
    object.__setattr__(world.deps, "known_models", (SCRFD, YUNET))
    async with world.client(role) as client:
        response = await client.post(SWITCH, json={"task": task, "model_id": model_id})
    body: dict[str, Any] = response.json()
    return response.status_code, body


async def test_a_switch_is_told_to_the_processes_and_to_the_audit(world: World) -> None:
    status, body = await switched(world, "face-detection", "scrfd-2.5g")
    assert (status, body["status"]) == (202, "accepted")
    assert [(each["model_id"], each["state"]) for each in body["serving"]] == [
        ("yunet-2023mar", "available")
    ]
    (output,) = world.publisher.published
    assert (output.topic, output.key) == ("sightline.model.commands", "scrfd-2.5g")
    command = output.event
    assert isinstance(command, SwitchModel)
    assert (command.task, command.requested_by) == ("face-detection", "tester")
    assert output.headers["traceparent"]
    (entry,) = world.audit
    assert (entry.audit_type, entry.action, entry.resource) == (
        "data_modification", "switch_model", "model:scrfd-2.5g",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "model_id", "status", "code", "field", "limit"),
    [
        (
            "ears", "scrfd-2.5g", 422, "MODEL_TASK_UNKNOWN", "task",
            ["face-detection", "face-recognition"],
        ),
        (
            "face-detection", "yolo99", 404, "MODEL_NOT_FOUND", "model_id",
            ["scrfd-2.5g", "yunet-2023mar"],
        ),
        (
            "face-recognition", "scrfd-2.5g", 422, "MODEL_TASK_MISMATCH", "model_id",
            ["omz-face-reid-0095"],
        ),
        (
            "face-detection", "yunet-2023mar", 409, "MODEL_IN_USE", "model_id", ["scrfd-2.5g"],
        ),
        ("face-detection", "", 422, "TOO_SHORT", "model_id", 1),
    ],
)  # fmt: skip
async def test_a_switch_that_makes_no_sense_is_refused(
    world: World, task: str, model_id: str, status: int, code: str, field: str, limit: Any
) -> None:
    answered, body = await switched(world, task, model_id)
    error = body["error"]
    assert (answered, error["code"], error["field"], error["limit"]) == (status, code, field, limit)
    assert world.publisher.published == []
    assert world.audit == []


async def test_a_switch_that_nobody_would_hear_is_refused_for_now(world: World) -> None:
    old = datetime.now(UTC) - ALIVE_FOR - SECOND
    status = a_model(heartbeat_at=old)
    world.deps.state.set_model(status.model_id, status)
    answered, body = await switched(world, "face-detection", "scrfd-2.5g")
    assert (answered, body["error"]["code"]) == (503, "MODEL_UNAVAILABLE")


async def test_only_an_admin_switches_models(world: World) -> None:
    answered, body = await switched(world, "face-detection", "scrfd-2.5g", role="operator")
    assert (answered, body["error"]["limit"]) == (403, "admin")
    (entry,) = world.audit
    assert (entry.resource, entry.result) == ("model:*", "denied")


async def test_a_broker_that_is_away_is_named(world: World) -> None:
    world.publisher.failure = TransientError("no broker")
    answered, body = await switched(world, "face-detection", "scrfd-2.5g")
    assert (answered, body["error"]["dependency"]) == (503, "broker")
    assert world.audit == []
