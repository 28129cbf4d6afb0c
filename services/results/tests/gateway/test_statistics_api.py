from results.domain.statistics import CameraFigures, Figures

from .conftest import CAMERA_ID, World


def figures(frames: int) -> Figures:
    made = Figures()
    made.add("frames", 0, frames)
    made.add("drop:shed:stale", 0, 2)
    made.add("time:detection", 5, frames)
    return made


async def test_figures_come_per_camera_and_in_all(world: World) -> None:
    world.statistics += [
        CameraFigures(camera_id=CAMERA_ID, camera_name="Main Entrance", figures=figures(3)),
        CameraFigures(camera_id="cam_2", camera_name=None, figures=figures(4)),
    ]
    async with world.client("viewer") as client:
        response = await client.get("/api/v1/detections/statistics", params={"period": "5m"})

    shown = response.json()
    assert response.status_code == 200
    assert shown["period"] == "5m"
    assert shown["in_all"]["frames"] == 7
    assert shown["in_all"]["drops"]["shed"] == {"total": 4, "by_reason": {"stale": 4}}
    assert [each["frames"] for each in shown["cameras"]] == [3, 4]
    assert shown["cameras"][0]["camera_name"] == "Main Entrance"
    assert shown["in_all"]["latency_ms"]["detection"].keys() == {"p50", "p95", "p99"}


async def test_one_camera_may_be_asked_for(world: World) -> None:
    world.statistics += [CameraFigures(camera_id="cam_2", camera_name=None, figures=figures(4))]
    async with world.client("viewer") as client:
        response = await client.get(
            "/api/v1/detections/statistics", params={"camera_id": CAMERA_ID}
        )
    assert response.json()["cameras"] == []
    assert response.json()["period"] == "1h"


async def test_another_period_is_refused_with_those_that_are_allowed(world: World) -> None:
    async with world.client("viewer") as client:
        response = await client.get("/api/v1/detections/statistics", params={"period": "2h"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (
        422,
        "INVALID_PERIOD",
        "period",
    )
    assert error["limit"] == ["5m", "15m", "1h", "6h", "24h", "7d"]
