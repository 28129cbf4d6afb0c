"""One contract for the gateway's stores, in memory and on PostgreSQL."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import psycopg
import pytest
from psycopg.types.json import Jsonb

from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.errors import TransientError
from mesh.events import (
    Activity,
    FaceAttributes,
    Liveness,
    Person,
    Sighting,
    StreamConfig,
    StreamType,
)
from mesh.testing import (
    NOON,
    PERSON_ID,
    a_camera,
    a_frame_header,
    a_person,
    a_result_detection,
    a_sighting,
    a_stage_time,
)
from results.adapters.memory_gateway import (
    InMemoryCameras,
    InMemoryFrameIdentifiers,
    InMemoryPersons,
    InMemoryResults,
)
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_cameras import PostgresCameras
from results.adapters.postgres_gateway_frames import PostgresFrameIdentifiers
from results.adapters.postgres_gateway_results import PostgresPersons, PostgresResults
from results.domain.cameras import CameraEntry
from results.domain.queries import (
    DetectionQuery,
    Paging,
    PersonQuery,
    SightingQuery,
    StoredDetection,
    StoredEvent,
)
from results.domain.rendering import SnapshotLink
from results.ports import CameraRegistry, FrameIdentifiers, PersonDirectory, ResultQueries

SHA = "ab" * 32


class Given(Protocol):
    """Puts rows where the writer would."""

    def person(self, person: Person) -> None: ...
    def detection(self, item: StoredDetection) -> None: ...
    def sighting(self, sighting: Sighting) -> None: ...
    def event(self, event: StoredEvent) -> None: ...


@dataclass
class Stores:
    cameras: CameraRegistry
    identifiers: FrameIdentifiers
    persons: PersonDirectory
    results: ResultQueries
    given: Given


class GivenInMemory:
    def __init__(self, persons: InMemoryPersons, results: InMemoryResults) -> None:
        self._persons, self._results = persons, results

    def person(self, person: Person) -> None:
        self._persons.known[person.person_id] = person

    def detection(self, item: StoredDetection) -> None:
        self._results.stored.append(item)

    def sighting(self, sighting: Sighting) -> None:
        self._results.seen.append(sighting)

    def event(self, event: StoredEvent) -> None:
        self._results.happened.append(event)


class GivenOnPostgres:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def person(self, person: Person) -> None:
        values = asdict(person) | {"face_count": len(person.faces)}
        values["faces"] = [_texts(face) for face in values["faces"]]
        self._insert("persons", values)

    def detection(self, item: StoredDetection) -> None:
        frame, plain = asdict(item.frame), asdict(item.detection)
        names = ("frame_key", "camera_id", "camera_name", "epoch", "sequence_number", "frame_id")
        decision = item.detection.decision
        values = {name: frame[name] for name in names} | plain | plain.pop("box")
        values |= {
            "camera_timestamp": frame["camera_timestamp"],
            "received_at": frame["received_timestamp"],
            "purpose": frame["purpose"],
            "frame_width": frame["width"],
            "frame_height": frame["height"],
            "person_id": decision.person_id if decision else None,
            "models": [asdict(model) for model in item.models],
            "stages": [_texts(asdict(stage)) for stage in item.stages],
            "created_at": item.created_at,
        }
        values.pop("box", None)
        with psycopg.connect(self._dsn) as connection:
            at = frame["received_timestamp"]
            connection.execute("SELECT results.ensure_month('detections', %s)", (at,))
        self._insert("detections", values)
        if item.snapshot is not None:
            link = asdict(item.snapshot)
            more = {"camera_id": "c", "frame_key": frame["frame_key"], "reason": "requested"}
            self._insert("snapshots", link | more | {"taken_at": item.created_at})

    def sighting(self, sighting: Sighting) -> None:
        self._insert("sightings", asdict(sighting))

    def event(self, event: StoredEvent) -> None:
        self._insert("events", asdict(event) | {"instance_id": "one"})

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        names = ", ".join(values)
        marks = ", ".join(f"%({name})s" for name in values)
        plain = {name: _column(value) for name, value in values.items()}
        with psycopg.connect(self._dsn) as connection:
            connection.execute(
                f"INSERT INTO results.{table} ({names}) VALUES ({marks})".encode(), plain
            )


def _column(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(_texts(value))
    return Jsonb(list(value)) if isinstance(value, (list, tuple)) else value


def _texts(plain: dict[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in plain.items()}


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        persons, results = InMemoryPersons(), InMemoryResults()
        yield Stores(
            InMemoryCameras(), InMemoryFrameIdentifiers(SystemClock()), persons, results,
            GivenInMemory(persons, results),
        )  # fmt: skip
        return
    dsn = request.getfixturevalue("database")
    database, codec = Database(dsn, size=2), AvroCodec.in_memory()
    database.open()
    yield Stores(
        PostgresCameras(database, lambda camera: codec.encode("sightline.cameras", camera)),
        PostgresFrameIdentifiers(database),
        PostgresPersons(database),
        PostgresResults(database),
        GivenOnPostgres(dsn),
    )
    database.close()


def an_entry(**changes: Any) -> CameraEntry:
    stream = StreamConfig(
        stream_type=StreamType.SOCKET, host="10.0.0.1", port=9000, protocol="custom_v1",
        frame_delimiter=b"\xff\xd8", password_encrypted=b"token", headers={"X-A": "b"},
    )  # fmt: skip
    values = {"stream": stream, "revision": 1} | changes
    return CameraEntry(camera=a_camera(**values), extras={"backend": "v4l2"})


def test_a_camera_comes_back_as_it_was_added(stores: Stores) -> None:
    entry = an_entry()
    assert stores.cameras.add(entry)
    assert stores.cameras.camera(entry.camera.camera_id) == entry
    assert not stores.cameras.add(entry)


def test_only_the_next_revision_of_a_camera_is_taken(stores: Stores) -> None:
    entry = an_entry()
    stores.cameras.add(entry)
    second = replace(entry, camera=replace(entry.camera, name="Back door", revision=2))
    assert stores.cameras.change(second)
    assert not stores.cameras.change(second)
    assert stores.cameras.camera(entry.camera.camera_id) == second


def test_a_deleted_camera_is_gone_and_its_identifier_stays_used(stores: Stores) -> None:
    entry = an_entry()
    stores.cameras.add(entry)
    assert stores.cameras.delete(entry.camera.camera_id, NOON)
    assert not stores.cameras.delete(entry.camera.camera_id, NOON)
    assert stores.cameras.camera(entry.camera.camera_id) is None
    assert not stores.cameras.add(entry)
    assert not stores.cameras.change(
        replace(entry, camera=replace(entry.camera, revision=entry.camera.revision + 2))
    )


def test_cameras_are_listed_by_name_and_page(stores: Stores) -> None:
    for number, name in enumerate(["c", "a", "b"]):
        camera_id = f"cam_00000000-0000-4000-8000-00000000000{number}"
        stores.cameras.add(an_entry(camera_id=camera_id, name=name))
    first = stores.cameras.cameras(Paging(page=1, page_size=2))
    second = stores.cameras.cameras(Paging(page=2, page_size=2))
    assert [entry.camera.name for entry in first.items] == ["a", "b"]
    assert first.has_more
    assert [entry.camera.name for entry in second.items] == ["c"]
    assert not second.has_more


def test_an_identifier_belongs_to_the_first_until_it_expires(stores: Stores) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    past = datetime.now(UTC) - timedelta(seconds=1)
    claim = stores.identifiers.claim
    assert claim("cam", "old", request_id="req_1", until=past) is None
    assert claim("cam", "old", request_id="req_2", until=later) is None
    held = claim("cam", "old", request_id="req_3", until=later)
    assert held is not None
    assert (held.request_id, held.response) == ("req_2", None)
    assert claim("other camera", "old", request_id="req_4", until=later) is None


def test_the_answer_to_the_first_is_kept_for_the_second(stores: Stores) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    claim, answered = stores.identifiers.claim, stores.identifiers.answered
    claim("cam", "frame", request_id="req_1", until=later)
    answered("req_other", "cam", "frame", {"a": 0}, later)
    answered("req_1", "cam", "frame", {"a": 1}, later)
    held = claim("cam", "frame", request_id="req_2", until=later)
    assert held is not None
    assert held.response == {"a": 1}


def test_an_answer_says_for_how_long_it_is_kept(stores: Stores) -> None:
    now = datetime.now(UTC)
    claim, later = stores.identifiers.claim, now + timedelta(minutes=1)
    claim("cam", "frame", request_id="req_1", until=later)
    stores.identifiers.answered("req_1", "cam", "frame", {"a": 1}, now - timedelta(seconds=1))
    assert claim("cam", "frame", request_id="req_2", until=later) is None


def test_a_released_identifier_can_be_claimed_again(stores: Stores) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    claim = stores.identifiers.claim
    claim("cam", "frame", request_id="req_1", until=later)
    stores.identifiers.release("req_other", "cam", "frame")
    assert claim("cam", "frame", request_id="req_2", until=later) is not None
    stores.identifiers.release("req_1", "cam", "frame")
    assert claim("cam", "frame", request_id="req_2", until=later) is None


def test_persons_are_found_by_id_and_by_part_of_the_name(stores: Stores) -> None:
    other = a_person(
        person_id="per_00000000-0000-4000-8000-000000000002", name="Bob 100%", status="inactive"
    )
    stores.given.person(a_person())
    stores.given.person(other)
    assert stores.persons.person(PERSON_ID) == a_person()
    assert stores.persons.person("per_x") is None
    assert stores.persons.named([other.person_id, "per_x"]) == {other.person_id: other}
    assert list(stores.persons.persons(PersonQuery()).items) == [a_person(), other]
    assert list(stores.persons.persons(PersonQuery(search="LOVE")).items) == [a_person()]
    assert list(stores.persons.persons(PersonQuery(search="0%")).items) == [other]
    assert list(stores.persons.persons(PersonQuery(search="_")).items) == []
    assert list(stores.persons.persons(PersonQuery(status="inactive")).items) == [other]
    assert list(stores.persons.persons(PersonQuery(collection="none")).items) == []


def a_stored(number: int, *, snapshot: bool = False, **changes: Any) -> StoredDetection:
    at = NOON + timedelta(seconds=number)
    frame = a_frame_header(sequence_number=number, received_timestamp=at)
    identifier = f"det_00000000-0000-4000-8000-00000000000{number}"
    item = a_result_detection(detection_id=identifier, confidence=0.5 + number / 8, **changes)
    return StoredDetection(
        detection=item,
        frame=frame,
        models=(),
        stages=[a_stage_time("detection")],
        created_at=at,
        snapshot=SnapshotLink(
            detection_id=identifier, sha256=SHA, size_bytes=7, width=160, height=160
        )
        if snapshot
        else None,
    )


def identifiers(stores: Stores, **query: Any) -> list[int]:
    page = stores.results.detections(DetectionQuery(**query))
    return [item.frame.sequence_number for item in page.items]


def test_a_detection_comes_back_with_its_frame_decision_and_snapshot(stores: Stores) -> None:
    item = a_stored(2, snapshot=True)
    stores.given.detection(item)
    found = stores.results.detection(item.detection.detection_id)
    assert found is not None
    assert found.detection.decision == item.detection.decision
    assert found.detection.box == item.detection.box
    assert found.detection.quality == item.detection.quality
    assert found.detection.landmarks == item.detection.landmarks
    assert found.frame.frame_key == item.frame.frame_key
    assert found.frame.received_timestamp == item.frame.received_timestamp
    assert list(found.stages) == list(item.stages)
    assert found.snapshot == item.snapshot
    assert stores.results.detection("det_x") is None


def test_what_further_models_said_comes_back_with_the_detection(stores: Stores) -> None:
    alive = Liveness(score=0.9, model_id="minifasnet-v2")
    attributes = FaceAttributes(left_eye_openness=0.25, liveness=alive)
    fall = Activity(name="fall", score=0.8, model_id="fall-heuristic")
    item = a_stored(3, attributes=attributes, activity=fall)
    stores.given.detection(item)
    found = stores.results.detection(item.detection.detection_id)
    assert found is not None
    assert (found.detection.attributes, found.detection.activity) == (attributes, fall)


def test_detections_are_queried_by_camera_person_time_and_confidence(stores: Stores) -> None:
    for number in range(4):
        stores.given.detection(a_stored(number))
    second = timedelta(seconds=1)
    assert identifiers(stores) == [3, 2, 1, 0]
    assert identifiers(stores, camera_id="cam_other") == []
    assert identifiers(stores, person_id=PERSON_ID) == [3, 2, 1, 0]
    assert identifiers(stores, person_id="per_other") == []
    assert identifiers(stores, start=NOON + second, end=NOON + 2 * second) == [2, 1]
    assert identifiers(stores, min_confidence=0.75) == [3, 2]
    assert identifiers(stores, detection_type="face") == [3, 2, 1, 0]
    assert identifiers(stores, detection_type="vehicle") == []
    assert identifiers(stores, paging=Paging(page=2, page_size=3)) == [0]


def test_sightings_are_found_if_they_overlap_the_time(stores: Stores) -> None:
    stores.given.sighting(a_sighting())
    second = timedelta(seconds=1)

    def found(**query: Any) -> list[Sighting]:
        return list(stores.results.sightings(SightingQuery(**query)).items)

    assert found() == [a_sighting()]
    assert found(start=NOON + second, end=NOON + second) == [a_sighting()]
    assert found(start=NOON + 3 * second) == []
    assert found(end=NOON - second) == []
    assert found(person_id=PERSON_ID, camera_id="cam_other") == []


def test_events_come_newest_first(stores: Stores) -> None:
    events = [
        StoredEvent(
            event_id=f"evt_{n}", event_type="camera_connection",
            occurred_at=NOON + timedelta(seconds=n), severity="info", service="camera",
            camera_id=f"cam_{n}", camera_name=None, message="hello", attributes={"n": str(n)},
        )
        for n in range(2)
    ]  # fmt: skip
    for event in events:
        stores.given.event(event)
    assert list(stores.results.events(None, Paging()).items) == events[::-1]
    assert list(stores.results.events("cam_0", Paging()).items) == events[:1]


def test_a_database_that_is_away_is_a_passing_failure() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", size=1)
    with pytest.raises(TransientError):
        database.ping()
