"""What is said of a camera when nobody tells of it any more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh.events import Camera, CameraStatus, DetectionConfig, StreamConfig, StreamState, StreamType
from mesh.testing import NOON, a_camera, a_record
from results.domain.camera_state import SILENT, SILENT_AFTER, Heard, heard_of

from .conftest import World

OFF = DetectionConfig(enabled=False)
PUSHED = StreamConfig(stream_type=StreamType.WEBSOCKET)
MOMENT = timedelta(seconds=1)
LATER = NOON + timedelta(days=1)


def a_status(state: StreamState, **changes: Any) -> CameraStatus:
    camera = a_camera()
    values: dict[str, Any] = {
        "camera_id": camera.camera_id, "camera_name": camera.name, "instance_id": "camera-1",
        "state": state, "is_healthy": state is StreamState.LIVE, "avg_fps": 24.8,
        "established_at": NOON, "updated_at": NOON,
    }  # fmt: skip
    return CameraStatus(**values | changes)


STATUSES = [None, *(a_status(state) for state in StreamState)]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("camera", [a_camera(), a_camera(detection=OFF), a_camera(stream=PUSHED)])
def test_what_was_told_lately_is_believed_whatever_the_clocks_of_others_say(
    status: CameraStatus | None, camera: Camera
) -> None:
    assert heard_of(camera, Heard(status, SILENT_AFTER - MOMENT), LATER) is status


@pytest.mark.parametrize("status", STATUSES)
def test_a_camera_of_which_nobody_tells_is_in_error(status: CameraStatus | None) -> None:
    silent = heard_of(a_camera(), Heard(status, SILENT_AFTER), LATER)
    assert silent is not None
    assert (silent.state, silent.is_healthy) == (StreamState.ERROR, False)
    assert (silent.error_code, silent.avg_fps) == (SILENT, 0.0)
    assert silent.established_at is None
    assert silent.updated_at == (status or a_camera()).updated_at, "its last sign of life"


@pytest.mark.parametrize("status", [None, a_status(StreamState.STOPPED)])
def test_a_camera_that_was_just_switched_on_may_take_a_moment(status: CameraStatus | None) -> None:
    camera = a_camera(updated_at=NOON)
    heard = Heard(status, timedelta(days=1))
    assert heard_of(camera, heard, NOON + SILENT_AFTER - MOMENT) is status
    silent = heard_of(camera, heard, NOON + SILENT_AFTER)
    assert silent is not None
    assert silent.error_code == SILENT


@pytest.mark.parametrize("status", STATUSES)
def test_of_a_camera_that_is_off_nobody_need_tell(status: CameraStatus | None) -> None:
    said = heard_of(a_camera(detection=OFF), Heard(status, timedelta(days=1)), LATER)
    if status is None:
        assert said is None
    else:
        assert said is not None
        assert (said.state, said.is_healthy) == (StreamState.STOPPED, False)


def test_a_gateway_that_died_leaves_no_live_camera_behind() -> None:
    camera = a_camera(stream=PUSHED)
    live, stopped = a_status(StreamState.LIVE), a_status(StreamState.STOPPED)
    silent = heard_of(camera, Heard(live, SILENT_AFTER), LATER)
    assert silent is not None
    assert (silent.state, silent.is_healthy) == (StreamState.STOPPED, False)
    assert silent.error_code == "unreachable"
    assert heard_of(camera, Heard(stopped, SILENT_AFTER), LATER) is stopped
    assert heard_of(camera, Heard(None, SILENT_AFTER), LATER) is None, "nobody pushes yet"


async def shown(world: World, camera_id: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The camera, the stage of cameras, and the status of its last result."""
    async with world.client("viewer") as client:
        camera = (await client.get(f"/api/v1/cameras/{camera_id}")).json()
        health = (await client.get("/api/v1/system/health")).json()
        live = await client.get("/api/v1/detections/live", params={"camera_id": camera_id})
    return camera, health["stages"]["camera"], live.status_code


async def test_cameras_without_a_camera_service_are_neither_live_nor_well(world: World) -> None:
    camera = world.add_camera()
    world.feed.handle(a_record(camera, topic="sightline.cameras"))
    now = datetime.now(UTC)  # a clock of another machine may be ahead of that of this one
    status = a_status(
        StreamState.LIVE, camera_id=camera.camera_id, updated_at=now + timedelta(hours=1)
    )
    world.feed.handle(a_record(status, topic="sightline.camera-status"))
    body, stage, answered = await shown(world, camera.camera_id)
    assert (body["status"]["state"], stage["state"], answered) == ("live", "ok", 200)

    world.heard.advance(SILENT_AFTER.total_seconds())
    body, stage, answered = await shown(world, camera.camera_id)
    assert (body["status"]["state"], stage["state"], answered) == ("error", "down", 503)
    assert stage["cameras"] == {"connecting": 0, "live": 0, "error": 1, "stopped": 0}
    assert body["status"]["error"]["cause"] == "silent"
    assert "reconnection." not in body["status"]["error"]["message"], "nobody tries"
    assert body["session"]["health"]["is_healthy"] is False

    world.feed.handle(a_record(status, topic="sightline.camera-status"))
    body, stage, answered = await shown(world, camera.camera_id)
    assert (body["status"]["state"], stage["state"], answered) == ("live", "ok", 200)


async def test_health_counts_the_cameras_of_the_registry(world: World) -> None:
    camera = world.add_camera()
    world.feed.handle(a_record(camera, topic="sightline.cameras"))
    stage = (await shown(world, camera.camera_id))[1]
    assert (stage["state"], stage["cameras"]["connecting"]) == ("down", 1)
    world.heard.advance(SILENT_AFTER.total_seconds())
    body, stage, _ = await shown(world, camera.camera_id)
    assert (stage["state"], stage["cameras"]["error"]) == ("down", 1), "no service ever came"
    assert (body["session"]["session_id"], body["session"]["instance_id"]) == (None, None)
    deleted = a_record(None, topic="sightline.cameras", key=camera.camera_id)
    world.feed.handle(deleted)
    stage = (await shown(world, camera.camera_id))[1]
    assert (stage["state"], sum(stage["cameras"].values())) == ("idle", 0)
