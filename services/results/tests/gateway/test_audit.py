"""Who saw or changed personal data is told to the audit, by identifiers, before it is answered."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from mesh.errors import RejectedRecordError, TransientError
from mesh.events import AuditEntry
from mesh.identity import new_id
from mesh.stage import Output
from mesh.testing import CAMERA_ID, NOON, PERSON_ID
from results.adapters.audit_trail import AuditTrail
from results.domain.audit import RULES, Asked, audited, subscribed

from .conftest import World
from .test_cameras import a_body

UNAUDITED = {
    ("GET", "/api/v1/cameras"),
    ("GET", "/api/v1/cameras/{camera_id}"),
    ("GET", "/api/v1/cameras/{camera_id}/picture"),
    ("GET", "/api/v1/detections/statistics"),
    ("GET", "/api/v1/events"),
    ("GET", "/health"),
    ("GET", "/api/v1/ledger"),
    ("GET", "/api/v1/models"),
    ("GET", "/api/v1/models/info"),
    ("GET", "/api/models/info"),
    ("GET", "/api/v1/system/health"),
    ("POST", "/api/v1/session"),
    ("DELETE", "/api/v1/session"),
}
"""They show no identity and change nothing that is stored; a page asks for pictures all the time,
which following the live feed stands for."""


def told(entry: AuditEntry) -> tuple[str, str, str, str]:
    return entry.audit_type, entry.action, entry.resource, entry.result


def asked(**changes: Any) -> Asked:
    values: dict[str, Any] = {
        "method": "GET", "route": "/api/v1/persons/{person_id}", "status": 200,
        "user_id": "tester", "address": "192.168.1.50", "given": {"person_id": PERSON_ID},
    }  # fmt: skip
    return Asked(**values | changes)


def test_every_route_is_audited_or_known_to_show_nobody(world: World) -> None:
    paths = world.app.openapi()["paths"]
    routes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert set(RULES) <= routes
    assert routes - set(RULES) == UNAUDITED


async def test_reading_a_person_is_an_access_with_who_and_from_where(world: World) -> None:
    async with world.client("viewer") as client:
        await client.get(f"/api/v1/persons/{PERSON_ID}")
        await client.get("/api/v1/persons", params={"search": "Ada"})
        await client.get("/api/v1/sightings", params={"person_id": PERSON_ID})
    person, persons, sightings = world.audit
    assert told(person) == ("data_access", "view_person", f"person:{PERSON_ID}", "success")
    assert (person.user_id, person.person_id) == ("tester", PERSON_ID)
    assert person.ip_address == "127.0.0.1"
    assert told(persons) == ("data_access", "list_persons", "person:*", "success")
    assert (sightings.resource, sightings.person_id) == ("sighting:*", PERSON_ID)
    assert "Ada" not in str(list(world.audit))


async def test_changing_a_camera_is_a_modification_with_its_new_identifier(world: World) -> None:
    async with world.client() as client:
        body = {name: value for name, value in a_body().items() if name != "camera_id"}
        created = (await client.post("/api/v1/cameras", json=body)).json()
        await client.delete(f"/api/v1/cameras/{created['camera_id']}")
    resource = f"camera:{created['camera_id']}"
    assert [told(entry) for entry in world.audit] == [
        ("data_modification", "create_camera", resource, "success"),
        ("data_modification", "delete_camera", resource, "success"),
    ]


async def test_a_refused_role_is_denied_and_its_text_is_not_repeated(world: World) -> None:
    async with world.client("viewer") as client:
        await client.delete("/api/v1/persons/Ada-Lovelace")
        await client.delete(f"/api/v1/persons/{PERSON_ID}")
    assert [told(entry)[1:] for entry in world.audit] == [
        ("erase_person", "person:*", "denied"),
        ("erase_person", f"person:{PERSON_ID}", "denied"),
    ]


async def test_nobody_and_nothing_found_leave_no_entry(world: World) -> None:
    async with world.client(None) as client:
        await client.get(f"/api/v1/persons/{PERSON_ID}")
    async with world.client() as client:
        await client.get(f"/api/v1/persons/{new_id('per')}")
        await client.get("/api/v1/models")
    assert world.audit == []


def test_following_the_live_feed_is_an_access(world: World) -> None:
    protocols = ["bearer", world.token("viewer")]
    path = "/api/v1/detections/ws/client_123"
    with (
        TestClient(world.app) as browser,
        browser.websocket_connect(path, subprotocols=protocols) as socket,
    ):
        socket.receive_json()
        socket.send_json({"type": "subscribe", "camera_id": "*"})
        assert socket.receive_json()["type"] == "subscribed"
    (entry,) = world.audit
    assert told(entry) == ("data_access", "follow_live_detections", "camera:*", "success")


def test_what_recognition_carries_out_it_audits_itself() -> None:
    change = asked(method="PATCH")
    assert audited(change, NOON) is None
    denied = audited(asked(method="PATCH", status=403), NOON)
    assert denied is not None
    assert denied.result == "denied"


def test_a_camera_that_is_followed_is_named() -> None:
    assert subscribed("u", None, CAMERA_ID, NOON).resource == f"camera:{CAMERA_ID}"


@given(text=st.text(min_size=1).filter(lambda text: text != "*"))
def test_only_identifiers_are_repeated(text: str) -> None:
    entry = audited(asked(given={"person_id": text}), NOON)
    assert entry is not None
    assert (entry.resource, entry.person_id) == ("person:*", None)


class Broker:
    """Takes batches, or fails as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[Output] = []

    def publish(self, outputs: Sequence[Output]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.extend(outputs)


class Shelf:
    """Keeps entries while the broker is away, or is away itself as often as it is told."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.kept: list[AuditEntry] = []

    def keep(self, entries: Sequence[AuditEntry]) -> None:
        if self.away:
            self.away -= 1
            raise TransientError("the database is away")
        self.kept.extend(entries)


def an_entry(**changes: Any) -> AuditEntry:
    entry = audited(asked(**changes), NOON)
    assert entry is not None
    return entry


def a_change() -> AuditEntry:
    return an_entry(method="PATCH", route="/api/v1/cameras/{camera_id}")


def trail(
    broker: Broker, figures: CollectorRegistry, shelf: Shelf | None = None, limit: int = 100
) -> AuditTrail:
    return AuditTrail(
        broker,
        "sightline.audit",
        figures,
        keep=(shelf or Shelf()).keep,
        limit=limit,
        pause_seconds=0.01,
        again_seconds=0.01,
    )


def dropped(figures: CollectorRegistry, reason: str) -> float | None:
    return figures.get_sample_value("sightline_audit_entries_dropped_total", {"reason": reason})


def kept(figures: CollectorRegistry) -> float | None:
    return figures.get_sample_value("sightline_audit_entries_total")


def test_entries_reach_the_broker_by_whom_they_concern() -> None:
    broker, figures, shelf = Broker(), CollectorRegistry(), Shelf()
    audit = trail(broker, figures, shelf)
    entries = [an_entry() for _ in range(3)]
    waited = [audit.note(entry) for entry in entries]
    assert not any(future.done() for future in waited)
    audit.start()
    for future in waited:
        future.result(60)
    audit.close()
    assert [output.event for output in broker.taken] == entries
    assert {(output.topic, output.key) for output in broker.taken} == {
        ("sightline.audit", PERSON_ID)
    }
    assert (kept(figures), shelf.kept) == (3, [])


def test_entries_are_in_the_outbox_before_an_answer_while_the_broker_is_away() -> None:
    broker, figures, shelf = Broker(TransientError("away")), CollectorRegistry(), Shelf()
    audit = trail(broker, figures, shelf)
    entry = an_entry()
    first = audit.note(entry)
    audit.start()
    first.result(60)
    assert shelf.kept == [entry]
    while not broker.taken:  # it is asked again after a moment
        audit.note(an_entry()).result(60)
    audit.close()
    assert kept(figures) == len(shelf.kept) + len(broker.taken)


def test_an_access_that_nothing_can_keep_is_refused_and_forgotten() -> None:
    figures, shelf = CollectorRegistry(), Shelf(away=1)
    audit = trail(Broker(TransientError("away")), figures, shelf)
    refused = audit.note(an_entry())
    audit.start()
    with pytest.raises(TransientError, match="database is away"):
        refused.result(60)
    audit.close()
    assert shelf.kept == []
    assert (kept(figures), dropped(figures, "stopped")) == (0, None)


def test_a_change_that_nothing_can_keep_is_tried_until_something_does() -> None:
    broker, shelf = Broker(*[TransientError("away")] * 3), Shelf(away=3)
    audit, entry = trail(broker, CollectorRegistry(), shelf), a_change()
    refused = audit.note(entry)
    audit.start()
    with pytest.raises(TransientError):
        refused.result(60)
    while not (shelf.kept or broker.taken):
        time.sleep(0.001)
    audit.close()
    assert [*shelf.kept, *(output.event for output in broker.taken)] == [entry]


def test_what_does_not_fit_is_counted_and_refused() -> None:
    figures = CollectorRegistry()
    audit = trail(Broker(), figures, limit=2)
    waited = [audit.note(an_entry()) for _ in range(5)]
    assert dropped(figures, "queue_full") == 3
    assert [future.done() for future in waited] == [False, False, True, True, True]
    with pytest.raises(TransientError, match="too many"):
        waited[-1].result(0)


@pytest.mark.parametrize(
    ("failures", "reason"),
    [
        ([RejectedRecordError("too large")], "refused"),
        ([TransientError("away")] * 3, "stopped"),
    ],
)
def test_what_is_given_up_is_counted(failures: list[Exception], reason: str) -> None:
    figures = CollectorRegistry()
    audit = trail(Broker(*failures), figures, Shelf(away=3))
    audit.note(a_change())
    audit._stop.set()
    audit.start()
    audit.close()
    assert dropped(figures, reason) == 1


async def test_a_request_whose_entry_nothing_keeps_gets_503_and_no_data(world: World) -> None:
    world.audit.settled = Future()
    world.audit.settled.set_exception(TransientError("the database is away"))
    async with world.client() as client:
        answer = await client.get(f"/api/v1/persons/{PERSON_ID}")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    error = answer.json()["error"]
    assert (error["code"], error["dependency"]) == ("AUDIT_UNAVAILABLE", "audit")
    assert error["reason"] == "the database is away"
    assert set(answer.json()) == {"status", "error"}


def test_a_live_feed_whose_entry_nothing_keeps_is_not_followed(world: World) -> None:
    world.audit.settled = Future()
    world.audit.settled.set_exception(TransientError("the database is away"))
    protocols = ["bearer", world.token("viewer")]
    with (
        TestClient(world.app) as browser,
        browser.websocket_connect("/api/v1/detections/ws/c1", subprotocols=protocols) as socket,
    ):
        socket.receive_json()
        socket.send_json({"type": "subscribe", "camera_id": "*"})
        reply = socket.receive_json()
    assert (reply["type"], reply["error"]["code"]) == ("error", "AUDIT_UNAVAILABLE")


async def test_a_request_is_answered_once_its_entry_is_on_the_topic(world: World) -> None:
    kept: Future[None] = Future()
    world.audit.settled = kept
    world.add_camera()
    async with world.client() as client:
        asked = asyncio.create_task(client.get(f"/api/v1/persons/{PERSON_ID}"))
        while not world.audit:  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0)
        assert not asked.done()
        kept.set_result(None)
        assert (await asked).status_code == 200
