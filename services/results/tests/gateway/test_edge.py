"""What every request passes: tokens, roles, sizes, identifiers, and errors in one shape."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from mesh.auth import Tokens
from mesh.errors import TransientError
from mesh.testing import PERSON_ID, a_result_detection
from results.adapters.http import create_app
from results.adapters.http_edge import MAX_BODY, Unfinished

from .conftest import SECRET, World

UNAUTHORIZED = {
    "status": "error",
    "error": {
        "code": "UNAUTHORIZED",
        "message": "a valid bearer token is required",
        "field": "Authorization",
        "limit": "Bearer <token>",
    },
}


def token(secret: SecretStr, minutes: int, role: str = "admin") -> str:
    return Tokens(secret).issue("x", role, timedelta(minutes=minutes), datetime.now(UTC))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer nonsense",
        "Basic YTpi",
        f"Bearer {token(SECRET, -1)}",
        f"Bearer {token(SecretStr('another secret of thirty-two characters'), 5)}",
    ],
    ids=["none", "no token", "no JWT", "another scheme", "expired", "of another secret"],
)
@pytest.mark.parametrize("path", ["/api/v1/cameras", "/api/v1/nothing", "/api/v1/persons/per_1"])
async def test_every_bad_token_is_answered_alike(world: World, header: str, path: str) -> None:
    async with world.client(None) as client:
        response = await client.get(path, headers={"Authorization": header})
    assert response.status_code == 401
    assert response.json() == UNAUTHORIZED
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("role", "method", "path", "needed"),
    [
        ("viewer", "POST", "/api/v1/persons", "operator"),
        ("viewer", "POST", "/api/v1/cameras", "admin"),
        ("operator", "POST", "/api/v1/cameras", "admin"),
        ("operator", "DELETE", f"/api/v1/persons/{PERSON_ID}", "admin"),
        ("viewer", "PATCH", f"/api/v1/persons/{PERSON_ID}", "operator"),
    ],
)
async def test_a_role_that_does_not_suffice_is_named(
    world: World, role: str, method: str, path: str, needed: str
) -> None:
    async with world.client(role) as client:
        response = await client.request(method, path, json={})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["limit"]) == (403, "FORBIDDEN", needed)


async def test_health_and_description_need_no_token(world: World) -> None:
    async with world.client(None) as client:
        assert (await client.get("/health")).json()["status"] == "ok"
        described = (await client.get("/openapi.json")).json()
        assert (await client.get("/docs")).status_code == 200
    world.deps.health.ready["database"] = lambda: "connection refused"
    async with world.client(None) as client:
        ill = await client.get("/health")
    assert (ill.status_code, ill.json()["problems"]) == (503, {"database": "connection refused"})
    frame = described["components"]["schemas"]["FrameBody"]
    assert frame["example"]["frame_id"] == "frame_12345678"
    assert "/api/v1/detections/process-frame" in described["paths"]


async def test_the_clients_request_id_comes_back(world: World) -> None:
    async with world.client() as client:
        echoed = await client.get("/api/v1/models", headers={"X-Request-ID": "abc-1"})
        made = await client.get("/api/v1/models", headers={"X-Request-ID": "a b"})
    assert echoed.headers["X-Request-ID"] == "abc-1"
    assert made.headers["X-Request-ID"].startswith("req_")
    assert echoed.headers["X-Content-Type-Options"] == "nosniff"


async def test_unknown_paths_and_methods_have_the_envelope(world: World) -> None:
    async with world.client() as client:
        missing = await client.get("/api/v1/nothing")
        method = await client.put("/api/v1/cameras")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert method.status_code == 405
    assert method.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
    assert method.json()["error"]["field"] == "method"


async def test_a_body_beyond_every_limit_is_refused_announced_or_not(world: World) -> None:
    async def endless() -> Any:
        for _ in range(MAX_BODY // 65_536 + 2):
            yield b" " * 65_536

    path, headers = "/api/v1/detections/process-frame", {"Content-Type": "application/json"}
    async with world.client() as client:
        announced = await client.post(path, content=b" " * (MAX_BODY + 1), headers=headers)
        streamed = await client.post(path, content=endless(), headers=headers)
    for response in (announced, streamed):
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "BODY_TOO_LARGE"
        assert response.json()["error"]["limit"] == MAX_BODY


async def test_a_crash_shows_an_identifier_and_no_trace(world: World) -> None:
    world.results.failure = ValueError("secret detail")
    async with world.client() as client:
        response = await client.get("/api/v1/detections")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "INTERNAL_ERROR"
    assert response.json()["error"]["request_id"].startswith("req_")
    assert "secret detail" not in response.text


async def test_a_database_that_is_away_is_unavailable_not_broken(world: World) -> None:
    world.results.failure = TransientError("no database")
    async with world.client() as client:
        response = await client.get("/api/v1/detections")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "STORE_UNAVAILABLE"
    assert response.headers["Retry-After"] == "1"


async def test_a_browser_loads_pictures_with_a_cookie_that_opens_nothing_else(
    world: World,
) -> None:
    async with world.client("viewer") as client:
        opened = await client.post("/api/v1/session")
    cookie = opened.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    held = {"Cookie": cookie.partition(";")[0]}
    detection = f"/api/v1/detections/{a_result_detection().detection_id}/snapshot"
    async with world.client(None) as client:
        assert (await client.get(detection, headers=held)).status_code == 404
        assert (await client.get("/api/v1/cameras", headers=held)).status_code == 401
        assert (await client.post(detection, headers=held)).status_code == 401
    async with world.client("viewer") as client:
        closed = await client.delete("/api/v1/session")
    assert closed.status_code == 204
    assert "Max-Age=0" in closed.headers["Set-Cookie"]


async def test_the_page_is_served_beside_the_interface(world: World, tmp_path: Any) -> None:
    (tmp_path / "index.html").write_text("<h1>live</h1>")
    app = create_app(world.deps, page=tmp_path)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        page = await client.get("/")
        missing = await client.get("/other.js")
        api = await client.get("/api/v1/cameras")
    assert page.text == "<h1>live</h1>"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert missing.json()["error"]["code"] == "NOT_FOUND"
    assert api.status_code == 401


async def test_who_waits_when_the_gateway_stops_is_told_to_ask_again() -> None:
    begun = asyncio.Event()

    async def never(_: Scope, __: Receive, ___: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    transport = httpx2.ASGITransport(Unfinished(never))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        asking = asyncio.create_task(client.get("/"))
        await begun.wait()
        asking.cancel("the time for a stop is over")
        response = await asking
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json()["error"]["code"] == "GATEWAY_STOPPING"
