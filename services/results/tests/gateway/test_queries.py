"""Stored and live results, sightings, events, models and health over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from mesh.testing import (
    CAMERA_ID,
    NOON,
    PERSON_ID,
    a_frame_header,
    a_frame_result,
    a_result_detection,
    a_sighting,
    a_stage_time,
)
from results.domain.queries import StoredDetection, StoredEvent
from results.domain.rendering import SnapshotLink

from .conftest import World, a_picture

SHA = "ab" * 32


def a_stored(number: int, *, snapshot: bool = False) -> StoredDetection:
    identifier = f"det_00000000-0000-4000-8000-00000000000{number}"
    at = NOON + timedelta(seconds=number)
    link = SnapshotLink(detection_id=identifier, sha256=SHA, size_bytes=9, width=112, height=112)
    return StoredDetection(
        detection=a_result_detection(detection_id=identifier, confidence=0.5 + number / 10),
        frame=a_frame_header(sequence_number=number, received_timestamp=at),
        models=(),
        stages=(a_stage_time("detection"),),
        created_at=at,
        snapshot=link if snapshot else None,
    )


async def get(world: World, path: str, **params: Any) -> tuple[int, Any]:
    async with world.client("viewer") as client:
        response = await client.get(f"/api/v1{path}", params=params)
        return response.status_code, response.json()


async def test_stored_detections_are_filtered_and_paged(world: World) -> None:
    world.results.stored += [a_stored(number) for number in range(4)]
    status, body = await get(world, "/detections", camera_id=CAMERA_ID, page_size=3)
    assert status == 200
    assert [item["confidence"] for item in body["detections"]] == [0.8, 0.7, 0.6]
    assert body["pagination"]["has_more"]
    assert body["detections"][0]["person"]["name"] == "Ada Lovelace"
    assert body["detections"][0]["snapshot"] is None
    _, body = await get(
        world, "/detections", min_confidence=0.6, person_id=PERSON_ID,
        start_time="2026-01-01T12:00:00Z", end_time="2026-01-01T12:00:02Z", page=1,
    )  # fmt: skip
    assert [item["confidence"] for item in body["detections"]] == [0.7, 0.6]
    _, body = await get(world, "/detections", detection_type="vehicle")
    assert body["detections"] == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"camera_id": "cam_1"}, "camera_id"),
        ({"person_id": "x"}, "person_id"),
        ({"start_time": "now"}, "start_time"),
        ({"min_confidence": 2}, "min_confidence"),
        ({"page": 0}, "page"),
        ({"page": "x"}, "page"),
        ({"colour": 1}, "colour"),
        ({"detection_type": "ear"}, "detection_type"),
        (
            {"start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"},
            "start_time",
        ),
    ],
)
async def test_a_bad_query_is_refused_by_field(
    world: World, params: dict[str, Any], field: str
) -> None:
    status, body = await get(world, "/detections", **params)
    assert (status, body["error"]["field"]) == (422, field)
    assert body["error"]["limit"] is not None


async def test_a_detection_is_shown_with_times_and_models(world: World) -> None:
    item = a_stored(1, snapshot=True)
    world.results.stored.append(item)
    status, body = await get(world, f"/detections/{item.detection.detection_id}")
    assert status == 200
    assert body["detection"]["snapshot"]["resolution"] == "112x112"
    assert body["processing_info"]["detection_time_ms"] == 10
    status, body = await get(world, "/detections/det_00000000-0000-4000-8000-000000000009")
    assert (status, body["error"]["code"]) == (404, "DETECTION_NOT_FOUND")


async def test_a_snapshot_is_404_until_it_is_stored(world: World) -> None:
    item = a_stored(1, snapshot=True)
    path = f"/api/v1/detections/{item.detection.detection_id}/snapshot"
    async with world.client("viewer") as client:
        assert (await client.get(path)).json()["error"]["code"] == "DETECTION_NOT_FOUND"
        world.results.stored.append(item)
        assert (await client.get(path)).json()["error"]["code"] == "SNAPSHOT_NOT_FOUND"
        world.snapshots[SHA] = a_picture()
        found = await client.get(path)
    assert found.content == a_picture()
    assert found.headers["Content-Type"] == "image/jpeg"


async def test_the_live_result_comes_from_the_cache(world: World) -> None:
    world.add_camera(camera_id=CAMERA_ID)
    status, body = await get(world, "/detections/live", camera_id=CAMERA_ID)
    assert (status, body["frame"], body["detections"]) == (200, None, [])
    result = a_frame_result()
    world.deps.state.add_result(result)
    _, body = await get(world, "/detections/live", camera_id=CAMERA_ID)
    assert body["frame"]["frame_key"] == result.frame.frame_key
    assert body["detections"][0]["person"]["name"] == "Ada Lovelace"
    assert body["age_ms"] < 3000
    status, body = await get(world, "/detections/live")
    assert (status, body["error"]["code"]) == (422, "MISSING_FIELD")


async def test_sightings_have_names(world: World) -> None:
    world.results.seen.append(a_sighting())
    _, body = await get(world, "/sightings", person_id=PERSON_ID, start_time="2026-01-01T12:00:01Z")
    assert body["sightings"][0]["person_name"] == "Ada Lovelace"
    _, body = await get(world, "/sightings", end_time="2025-01-01T12:00:01Z")
    assert body["sightings"] == []


async def test_events_are_listed(world: World) -> None:
    world.results.happened.append(
        StoredEvent(
            event_id="evt_1", event_type="camera_connection", occurred_at=NOON, severity="info",
            service="camera", camera_id=CAMERA_ID, camera_name="Front door", message="connected",
            attributes={},
        )
    )  # fmt: skip
    _, body = await get(world, "/events", camera_id=CAMERA_ID)
    assert body["events"][0]["message"] == "connected"


async def test_models_and_stages_are_shown(world: World) -> None:
    _, body = await get(world, "/models")
    assert body["detection_models"][0]["is_available"] is True
    assert body["recognition_models"][0]["aliases"] == ["arcface-512d"]
    _, body = await get(world, "/system/health")
    assert list(body["stages"]) == ["camera", "detection", "recognition", "aggregator", "gateway"]


async def test_an_unknown_request_is_not_found(world: World) -> None:
    async with world.client() as client:
        path = "/api/v1/requests/req_00000000-0000-4000-8000-000000000009"
        response = await client.get(path)
    assert response.json()["error"]["code"] == "REQUEST_NOT_FOUND"
