import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from local.gateway import Gateway
from mesh.errors import TransientError

_Answer = Callable[[httpx2.Request], httpx2.Response]


def _gateway(answer: _Answer) -> Gateway:
    return Gateway("http://gateway", "token", transport=httpx2.MockTransport(answer))


def test_a_camera_is_registered_with_the_token() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer token"
        assert (request.method, request.url.path) == ("POST", "/api/v1/cameras")
        return httpx2.Response(
            201, json={"camera_id": "cam_1", "name": json.loads(request.content)}
        )

    with _gateway(answer) as gateway:
        assert gateway.create("/cameras", {"a": 1})["camera_id"] == "cam_1"


def test_a_resource_is_there_or_not() -> None:
    statuses = {"/api/v1/cameras/a": 200, "/api/v1/cameras/b": 404, "/api/v1/cameras/c": 500}
    with _gateway(lambda request: httpx2.Response(statuses[request.url.path], json={})) as gateway:
        assert gateway.has("/cameras/a")
        assert not gateway.has("/cameras/b")
        with pytest.raises(TransientError, match="GET /api/v1/cameras/c: 500"):
            gateway.has("/cameras/c")


def test_an_enrolment_that_takes_longer_is_asked_for(tmp_path: Path) -> None:
    photo = tmp_path / "portrait.jpg"
    photo.write_bytes(b"\xff\xd8")
    outcomes = [{"status": "accepted"}, {"status": "success", "message": "enrolled"}]

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            assert request.url.path == "/api/v1/requests/req_1"
            return httpx2.Response(200, json=outcomes.pop(0))
        assert b'name="image"' in request.content
        assert b'{"status": "granted"}' in request.content
        body = {"status": "accepted", "request_id": "req_1", "person_id": "per_1"}
        return httpx2.Response(202, json=body)

    with _gateway(answer) as gateway:
        outcome = gateway.upload("/persons/per_1/faces", photo, {"status": "granted"})
    assert (outcome["status"], outcome["person_id"]) == ("success", "per_1")


def test_a_refusal_says_what_the_gateway_said() -> None:
    body = {"status": "error", "error": {"code": "CONSENT_REQUIRED", "field": "consent"}}
    with (
        _gateway(lambda _: httpx2.Response(422, json=body)) as gateway,
        pytest.raises(TransientError, match=r"422 .*CONSENT_REQUIRED"),
    ):
        gateway.change("/persons/per_1", {})


def test_a_gateway_that_is_away_is_named() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    with (
        _gateway(answer) as gateway,
        pytest.raises(TransientError, match="does not answer GET /cameras/a: refused"),
    ):
        gateway.has("/cameras/a")
