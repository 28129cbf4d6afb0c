"""Persons that are registered again under the same key."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from mesh.errors import TransientError
from mesh.events import Answer

from .conftest import World, a_picture
from .test_persons import PATH, a_body, done, enrolled

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


async def add(
    world: World, body: dict[str, Any], *, key: str = KEY, client: str = "tester"
) -> httpx2.Response:
    token = world.deps.tokens.issue(client, "operator", timedelta(hours=1), datetime.now(UTC))
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    async with world.client(None) as http:
        return await http.post(PATH, json=body, headers=headers)


def made(world: World) -> list[Any]:
    """Everything that was asked of recognition."""
    return [output.event for output in world.publisher.published]


async def test_a_person_without_a_photo_is_registered_once(world: World) -> None:
    world.answer_command = done
    first, second = [await add(world, {"name": "Grace"}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len(made(world)) == 1


async def test_a_person_with_a_photo_is_enrolled_once(world: World) -> None:
    world.answer = enrolled
    first, second = [await add(world, a_body()) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len(made(world)) == 1


async def test_a_form_is_the_same_request_as_its_json(world: World) -> None:
    world.answer = enrolled
    first = await add(world, a_body(consent={"status": "granted"}))
    async with world.client() as http:
        second = await http.post(
            PATH,
            data={"name": "Grace Hopper", "consent": '{"status": "granted"}'},
            files={"image": ("grace.jpg", a_picture(), "image/jpeg")},
            headers={"Idempotency-Key": f'"{KEY}"'},
        )
    assert second.json() == first.json()
    assert len(made(world)) == 1


@pytest.mark.parametrize("other", [a_body(name="Ada"), {"name": "Grace Hopper"}])
async def test_a_key_that_came_with_another_body_is_refused(
    world: World, other: dict[str, Any]
) -> None:
    world.answer = enrolled
    await add(world, a_body())
    again = await add(world, other)
    error = again.json()["error"]
    assert (again.status_code, error["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert error["field"] == "Idempotency-Key"
    assert len(made(world)) == 1


async def test_while_the_first_is_worked_on_the_second_is_told_where_to_ask(world: World) -> None:
    world.answer = lambda _: None
    first, second = [await add(world, a_body()) for _ in range(2)]
    error = second.json()["error"]
    assert (first.status_code, second.status_code) == (202, 409)
    assert (error["code"], error["url"]) == ("IDEMPOTENCY_KEY_IN_PROGRESS", first.json()["url"])
    assert second.headers["Retry-After"] == "1"
    world.deps.answers.deliver(enrolled(made(world)[-1]))
    third = await add(world, a_body())
    assert (third.status_code, third.json()["person_id"]) == (201, first.json()["person_id"])


async def test_of_those_that_come_at_once_one_is_worked_on(world: World) -> None:
    together = await asyncio.gather(*(add(world, {"name": "Grace"}) for _ in range(4)))
    assert sorted(answer.status_code for answer in together) == [202, 409, 409, 409]
    assert len(made(world)) == 1


async def test_a_refusal_is_told_again(world: World) -> None:
    def refused(frame: Any) -> Answer:
        return enrolled(frame, status="rejected", code="PERSON_EXISTS", message="known")

    world.answer = refused
    first, second = [await add(world, a_body()) for _ in range(2)]
    assert (first.status_code, second.status_code) == (409, 409)
    assert first.json() == second.json()
    assert first.json()["error"]["code"] == "PERSON_EXISTS"
    assert len(made(world)) == 1


async def test_after_a_failure_of_the_server_the_same_person_is_worked_on_again(
    world: World,
) -> None:
    world.answer_command = lambda command: done(command, status="error", code="PROCESSING_FAILED")
    assert (await add(world, {"name": "Grace"})).status_code == 500
    world.answer_command = done
    again = await add(world, {"name": "Grace"})
    first, second = made(world)
    assert again.status_code == 201
    assert (first.person_id, first.request_id) == (second.person_id, second.request_id)


async def test_after_an_outage_of_the_broker_the_request_is_sent(world: World) -> None:
    world.answer_command = done
    world.publisher.failure = TransientError("no broker")
    assert (await add(world, {"name": "Grace"})).status_code == 503
    world.publisher.failure = None
    assert (await add(world, {"name": "Grace"})).status_code == 201


async def test_keys_belong_to_their_clients(world: World) -> None:
    world.answer_command = done
    answers = [await add(world, {"name": "Grace"}, client=name) for name in ("one", "other")]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json()["person_id"] for answer in answers}) == 2


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, '"'])
async def test_what_is_no_key_is_refused_by_its_name(world: World, key: str) -> None:
    answer = await add(world, {"name": "Grace"}, key=key)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "INVALID_FORMAT")
    assert error["field"] == "Idempotency-Key"
    assert not made(world)


async def test_the_description_of_the_interface_names_the_header(world: World) -> None:
    async with world.client(None) as http:
        described = (await http.get("/openapi.json")).json()
    (header,) = described["paths"][PATH]["post"]["parameters"]
    assert (header["in"], header["name"], header["required"]) == (
        "header", "Idempotency-Key", False,
    )  # fmt: skip
