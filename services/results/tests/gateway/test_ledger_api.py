"""The frame ledger over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from mesh.testing import CAMERA_ID, NOON
from results.adapters.http_ledger import EXAMPLE
from results.domain.balance import Balance, CameraBalance, EpochBalance

from .conftest import World

OTHER = "cam_00000000-0000-4000-8000-00000000000f"
DAY = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


def an_epoch(number: int, balance: Balance) -> EpochBalance:
    return EpochBalance(
        epoch=number, lane="live", opened_at=NOON, seen_at=NOON + timedelta(minutes=5),
        closed_at=None, settled=False, balance=balance,
    )  # fmt: skip


async def get(world: World, **params: Any) -> tuple[int, Any]:
    async with world.client("viewer") as client:
        response = await client.get("/api/v1/ledger", params=params)
        return response.status_code, response.json()


async def test_the_balance_is_shown_per_epoch_per_camera_and_in_all(world: World) -> None:
    first = Balance(10, 7, {"poison": 1}, {"stale": 1}, {}, 1)
    second = Balance(5, 3, {}, {"stale": 1}, {"crash": 1}, 0)
    epochs = [an_epoch((1 << 62) + 1, second), an_epoch(1 << 62, first)]
    world.ledger.append(CameraBalance(camera_id=CAMERA_ID, camera_name="Door", epochs=epochs))
    world.ledger.append(
        CameraBalance(camera_id=OTHER, camera_name=None, epochs=[an_epoch(1, Balance(2, 2))])
    )
    status, body = await get(world, **DAY)
    assert status == 200
    (door,) = (each for each in body["cameras"] if each["camera_name"] == "Door")
    assert (door["captured"], door["processed"], door["open"]) == (15, 10, 1)
    assert door["shed"] == {"total": 2, "by_reason": {"stale": 2}}
    assert [each["epoch"] for each in door["epochs"]] == [str((1 << 62) + 1), str(1 << 62)]
    assert (body["in_all"]["captured"], body["in_all"]["processed"]) == (17, 12)
    assert body["pagination"]["has_more"] is False
    _, body = await get(world, camera_id=OTHER, **DAY)
    assert [each["camera_id"] for each in body["cameras"]] == [OTHER]


async def test_the_usual_time_is_the_last_day(world: World) -> None:
    _, body = await get(world)
    assert body["cameras"] == []
    assert body["in_all"]["captured"] == 0
    assert body["from"][10:] == body["to"][10:]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"camera_id": "cam_1"}, "camera_id"),
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-01-01T00:00:00"}, "to"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, "from"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "from"),
        ({"page_size": 101}, "page_size"),
        ({"start": "2026-01-01T00:00:00Z"}, "start"),
    ],
)
async def test_a_bad_query_names_field_and_limit(
    world: World, params: dict[str, str], field: str
) -> None:
    status, body = await get(world, **params)
    assert (status, body["error"]["field"]) == (422, field)
    assert body["error"]["limit"] is not None


async def test_the_example_of_the_description_balances_and_has_the_real_shape(
    world: World,
) -> None:
    camera = EXAMPLE["cameras"][0]
    parts = [camera["processed"], camera["open"]]
    parts += [camera[outcome]["total"] for outcome in ("failed", "shed", "lost")]
    assert camera["captured"] == sum(parts)
    world.ledger.append(
        CameraBalance(camera_id=CAMERA_ID, camera_name="Door", epochs=[an_epoch(1, Balance(2, 2))])
    )
    _, body = await get(world, **DAY)
    assert body.keys() == EXAMPLE.keys()
    assert body["cameras"][0].keys() == camera.keys()
    assert body["cameras"][0]["epochs"][0].keys() == camera["epochs"][0].keys()
