"""What every gallery and registry must do, in memory and in PostgreSQL."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from services.recognition.tests.arranging import (
    MODEL_ID,
    TOPICS,
    Bench,
    a_face_of,
    a_photo,
    per,
    vector,
)
from services.recognition.tests.test_commands import answer_to, delete, erase, update

from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.events import Person
from mesh.testing import an_enrollment
from recognition.adapters.database import Database
from recognition.adapters.memory import InMemoryGallery, InMemoryRegistry
from recognition.adapters.pgvector_gallery import PgVectorGallery
from recognition.adapters.postgres_registry import PostgresRegistry
from recognition.domain.matching import Hit
from recognition.ports import GalleryPolicy

NOW = datetime.now(UTC)
CONSENT = an_enrollment().consent
MIRROR_LIMITS = {"mirror": 100_000, "index": -1}


def on_postgres(database: Database, mirror_limit: int) -> Bench:
    clock = ManualClock(NOW)
    policy = GalleryPolicy(mirror_limit=mirror_limit)
    gallery = PgVectorGallery(database, MODEL_ID, policy, clock)
    codec = AvroCodec.in_memory(TOPICS)
    registry = PostgresRegistry(database, codec, TOPICS, changing=gallery.changing)
    gallery.refresh()
    return Bench(registry, gallery, clock)


def in_memory() -> Bench:
    clock = ManualClock(NOW)
    registry = InMemoryRegistry(clock)
    return Bench(registry, InMemoryGallery(registry, MODEL_ID, clock), clock)


BY_OUR_CLOCK = ["memory", pytest.param("mirror", marks=pytest.mark.integration)]
"""The index asks the database's clock, which no test moves."""


@pytest.fixture(params=[*BY_OUR_CLOCK, pytest.param("index", marks=pytest.mark.integration)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        yield in_memory()
    else:
        database: Database = request.getfixturevalue("database")
        yield on_postgres(database, MIRROR_LIMITS[request.param])


def hits(bench: Bench, *values: float, collection: str | None = None, limit: int = 5) -> list[Hit]:
    result = bench.gallery.search(vector(*values)[None, :], [collection], limit)
    return list(result.matches[0].hits)


def size(bench: Bench, collection: str | None = None) -> int:
    """As a search sees it."""
    result = bench.gallery.search(vector(1.0)[None, :], [collection], 1)
    assert bench.gallery.size(collection) == result.matches[0].gallery_size
    return result.matches[0].gallery_size


def person_of(bench: Bench, number: int) -> Person | None:
    with bench.registry.transaction() as registry:
        return registry.person(per(number))


def test_an_empty_gallery_finds_nobody(bench: Bench) -> None:
    assert (hits(bench, 1.0), size(bench)) == ([], 0)


def test_the_nearest_persons_come_first_and_no_more_than_asked(bench: Bench) -> None:
    for number, values in enumerate([(1.0,), (0.0, 1.0), (0.0, 0.0, 1.0)]):
        bench.enroll(number, *values, sequence=number)
    found = hits(bench, 0.9, 0.4, limit=2)
    assert [hit.person_id for hit in found] == [per(0), per(1)]
    assert found[0].similarity == pytest.approx(float(vector(0.9, 0.4)[0]), abs=1e-3)


def test_all_probes_of_a_call_see_the_same_version(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    bench.enroll(2, 0.0, 1.0, sequence=2)
    probes = [vector(1.0), vector(0.0, 1.0)]
    result = bench.gallery.search(np.stack(probes), [None, "default"], 1)
    assert [found.hits[0].person_id for found in result.matches] == [per(1), per(2)]
    assert result.version == bench.gallery.version() == 2


def test_a_person_is_the_mean_of_the_samples(bench: Bench) -> None:
    bench.enroll(1, 1.0, 0.4, sequence=1)
    bench.enroll(1, 1.0, -0.4, sequence=2)
    (hit,) = hits(bench, 1.0)
    assert hit.similarity == pytest.approx(1.0, abs=1e-3)
    assert hit.concentration == pytest.approx(float(vector(1.0, 0.4)[0]), abs=1e-3)


def test_only_the_asked_collection_is_searched(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    visitor = an_enrollment(person_id=per(2), face_id="face_v", collection="visitors")
    bench.outputs(a_photo(a_face_of(1.0), sequence=2, enrollment=visitor))
    assert [hit.person_id for hit in hits(bench, 1.0, collection="visitors")] == [per(2)]
    assert [size(bench, name) for name in (None, "default", "visitors", "none")] == [2, 1, 1, 0]


def test_the_registry_gives_back_what_was_stored(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    answer_to(bench, update(department="Engines", employee_id="E1"))
    person = person_of(bench, 1)
    assert person is not None
    assert (person.name, person.department, person.employee_id) == ("Ada Lovelace", "Engines", "E1")
    assert (person.revision, person.consent, person.created_at) == (2, CONSENT, NOW)
    assert [face.model_ids for face in person.faces] == [(MODEL_ID,)]


def test_every_change_makes_a_new_version(bench: Bench) -> None:
    versions = []
    for command in (update(create=True, name="Ada"), update(request_id="req_2", status="inactive")):
        answer_to(bench, command)
        size(bench)
        versions.append(bench.gallery.version())
    assert versions == [1, 2]


def test_who_withdrew_consent_is_not_found_until_it_is_given_again(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    withdrawn = replace(CONSENT, status="withdrawn", granted_at=CONSENT.granted_at + timedelta(1))
    answer_to(bench, update(consent=withdrawn))
    assert size(bench) == 0
    assert bench.enroll(1, 0.9, 0.1, sequence=2).event.code == "CONSENT_REQUIRED"
    again = replace(CONSENT, granted_at=CONSENT.granted_at + timedelta(2))
    answer_to(bench, update(request_id="req_2", consent=again))
    assert size(bench) == 1


def test_a_face_is_refused_that_another_person_has(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    bench.enroll(3, 0.0, 0.0, 1.0, sequence=3)
    answer = bench.enroll(2, 0.95, 0.1, sequence=2).event
    assert (answer.code, answer.enrollment.other_person_id) == ("PERSON_EXISTS", per(1))


def test_a_deleted_face_no_longer_counts(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    bench.enroll(1, 0.8, 0.6, sequence=2)
    answer_to(bench, delete())
    (hit,) = hits(bench, 0.8, 0.6)
    assert hit.similarity == pytest.approx(1.0, abs=1e-3)


def test_an_erased_person_is_gone_with_everything(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    answer_to(bench, erase())
    assert (person_of(bench, 1), size(bench)) == (None, 0)
    assert bench.enroll(1, 1.0, sequence=9).event.code == "PERSON_NOT_FOUND"


def test_the_same_batch_again_changes_nothing(bench: Bench) -> None:
    photos = [a_photo(a_face_of(1.0), sequence=1), a_photo(a_face_of(1.0, 0.2), sequence=2)]
    first = [output.event for output in bench.outputs(*photos)[1::2]]
    size(bench)
    version = bench.gallery.version()
    assert [output.event for output in bench.outputs(*photos)[1::2]] == first
    assert size(bench) == 1
    assert bench.gallery.version() == version


def test_a_change_that_fails_leaves_nothing(bench: Bench) -> None:
    def failing(body: Callable[[], None]) -> None:
        with bench.registry.transaction() as registry:
            registry.save(replace(A_PERSON, person_id=per(5)))
            body()

    def crash() -> None:
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        failing(crash)
    assert person_of(bench, 5) is None


A_PERSON = Person(
    person_id=per(5),
    collection="default",
    name="Nobody",
    status="active",
    created_at=NOW,
    updated_at=NOW,
    revision=1,
)


def test_people_stay_when_the_model_changes(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    bench.enroll(2, 0.0, 1.0, sequence=2)
    reembedder = bench.reembedder("other")
    assert [reembedder.run_batch() for _ in range(2)] == [2, 0]
    person = person_of(bench, 1)
    assert person is not None
    assert person.faces[0].model_ids == (MODEL_ID, "other")
    assert size(bench) == 2


@pytest.mark.parametrize("bench", BY_OUR_CLOCK, indirect=True)
def test_an_expired_consent_ends_recognition_by_itself(bench: Bench) -> None:
    consent = replace(CONSENT, expires_at=NOW + timedelta(hours=1))
    enrollment = an_enrollment(person_id=per(1), consent=consent)
    bench.outputs(a_photo(a_face_of(1.0), enrollment=enrollment))
    assert size(bench) == 1
    assert isinstance(bench.clock, ManualClock)
    bench.clock.advance(3601)
    assert (size(bench), hits(bench, 1.0)) == (0, [])
