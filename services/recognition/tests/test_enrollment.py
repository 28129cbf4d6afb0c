from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest
from services.recognition.tests.arranging import (
    Bench,
    a_face_of,
    a_photo,
    emitted,
    in_memory,
    per,
    vector,
)

from mesh.events import Answer, AuditEntry, Consent, Outcome, Person
from mesh.testing import NOON, an_enrollment
from recognition.adapters.memory import InMemoryRegistry
from recognition.stage.work import FrameWork, Photo

T = TypeVar("T")
CONSENT = an_enrollment().consent


@pytest.fixture
def bench() -> Bench:
    return in_memory()


def answer_to(bench: Bench, *records: object) -> Answer:
    answer = bench.outputs(*records)[-1].event  # type: ignore[arg-type]  # photos
    assert isinstance(answer, Answer)
    return answer


def published(bench: Bench, kind: type[T]) -> list[T]:
    assert isinstance(bench.registry, InMemoryRegistry)
    return [out.event for out in bench.registry.contents.outbox if isinstance(out.event, kind)]


def test_a_photo_creates_the_person_and_a_sample(bench: Bench) -> None:
    answer = answer_to(bench, a_photo(a_face_of(1.0)))
    assert (answer.status, answer.code, answer.kind) == ("success", None, "enrollment")
    assert answer.enrollment is not None
    assert (answer.enrollment.accepted, answer.enrollment.face_count) == (True, 1)
    (person,) = published(bench, Person)
    assert (person.name, person.revision, len(person.faces)) == ("Ada Lovelace", 1, 1)
    assert bench.gallery.size() == 1


def test_enrolment_and_consent_are_audited_without_names(bench: Bench) -> None:
    answer_to(bench, a_photo(a_face_of(1.0)))
    entries = published(bench, AuditEntry)
    assert [(entry.audit_type, entry.action) for entry in entries] == [
        ("data_modification", "enroll_face"),
        ("consent", "consent_granted"),
    ]
    assert "Ada" not in repr(entries)


def test_the_same_photo_twice_changes_nothing(bench: Bench) -> None:
    photo = a_photo(a_face_of(1.0))
    first = answer_to(bench, photo)
    assert isinstance(bench.registry, InMemoryRegistry)
    contents = bench.registry.contents
    assert answer_to(bench, photo) == first
    assert bench.registry.contents == contents


def test_the_same_picture_under_another_request_is_no_second_sample(bench: Bench) -> None:
    first = answer_to(bench, a_photo(a_face_of(1.0), sequence=1))
    second = answer_to(bench, a_photo(a_face_of(1.0), sequence=2))
    assert first.enrollment is not None
    assert second.enrollment is not None
    assert second.status == "success"
    assert second.enrollment.face_id == first.enrollment.face_id
    assert second.enrollment.face_count == 1


def test_several_samples_are_averaged(bench: Bench) -> None:
    bench.enroll(1, 1.0, 0.4, sequence=1)
    bench.enroll(1, 1.0, -0.4, sequence=2)
    (matches,) = bench.gallery.search(vector(1.0)[None, :], [None], 1).matches
    assert matches.hits[0].similarity == pytest.approx(1.0, abs=1e-6)
    assert matches.hits[0].concentration < 0.95


def test_what_the_registry_knows_of_a_person_wins_over_the_photo(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    other = an_enrollment(person_id=per(1), face_id="face_x", name="Somebody Else")
    answer_to(bench, a_photo(a_face_of(0.9, 0.1), sequence=2, enrollment=other))
    assert {person.name for person in published(bench, Person)} == {"Ada Lovelace"}


def test_a_face_that_another_person_has_is_refused(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    answer = answer_to(bench, a_photo(a_face_of(0.95, 0.1), sequence=2, person=2))
    assert (answer.status, answer.code) == ("rejected", "PERSON_EXISTS")
    assert answer.enrollment is not None
    assert answer.enrollment.other_person_id == per(1)
    assert bench.gallery.size() == 1


def test_the_same_picture_for_another_person_is_refused(bench: Bench) -> None:
    answer_to(bench, a_photo(a_face_of(1.0), sequence=1))
    answer = answer_to(bench, a_photo(a_face_of(1.0), sequence=2, person=2))
    assert answer.code == "PERSON_EXISTS"


def test_another_collection_may_hold_the_same_face(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    visitor = an_enrollment(person_id=per(2), face_id="face_v", collection="visitors")
    answer = answer_to(bench, a_photo(a_face_of(1.0), sequence=2, enrollment=visitor))
    assert answer.status == "success"
    assert (bench.gallery.size("default"), bench.gallery.size("visitors")) == (1, 1)


def test_somebody_else_is_enrolled_beside(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    assert bench.enroll(2, 0.0, 1.0, sequence=2).event.status == "success"
    assert bench.gallery.size() == 2


@pytest.mark.parametrize(
    ("faces", "reason"),
    [((), "no_face"), ((a_face_of(1.0), a_face_of(0.0, 1.0, index=1)), "several_faces")],
)
def test_a_bad_photo_is_refused_with_measure_and_limit(
    bench: Bench, faces: tuple[object, ...], reason: str
) -> None:
    answer = answer_to(bench, a_photo(*faces))  # type: ignore[arg-type]  # faces
    assert (answer.status, answer.code) == ("rejected", "QUALITY_REJECTED")
    assert answer.enrollment is not None
    (rejection,) = answer.enrollment.rejections
    assert (rejection.reason, rejection.value, rejection.limit) == (reason, len(faces), 1)
    assert bench.gallery.size() == 0


def test_a_chip_that_cannot_be_embedded_is_refused(bench: Bench) -> None:
    assert answer_to(bench, a_photo(a_face_of(1.0, chip=None))).code == "QUALITY_REJECTED"


@pytest.mark.parametrize(
    "consent",
    [
        replace(CONSENT, status="withdrawn"),
        replace(CONSENT, expires_at=NOON - timedelta(seconds=1)),
    ],
)
def test_without_consent_nothing_is_stored(bench: Bench, consent: Consent) -> None:
    photo = a_photo(a_face_of(1.0), enrollment=an_enrollment(consent=consent))
    answer = answer_to(bench, photo)
    assert (answer.status, answer.code) == ("rejected", "CONSENT_REQUIRED")
    assert published(bench, Person) == []
    assert [entry.result for entry in published(bench, AuditEntry)] == ["denied"]


@pytest.mark.parametrize(
    ("outcome", "reason", "code"),
    [
        (Outcome.FAILED, "unreadable_image", "FRAME_UNREADABLE"),
        (Outcome.FAILED, "model_timeout", "MODEL_TIMEOUT"),
        (Outcome.FAILED, "poison", "PROCESSING_FAILED"),
        (Outcome.SHED, "deadline", "DEADLINE_EXCEEDED"),
        (Outcome.FAILED, None, "PROCESSING_FAILED"),
    ],
)
def test_a_photo_that_ended_earlier_is_answered_too(
    bench: Bench, outcome: Outcome, reason: str | None, code: str
) -> None:
    answer = answer_to(bench, a_photo(outcome=outcome, reason=reason))
    assert (answer.status, answer.code) == ("error", code)


def test_the_frame_of_a_photo_carries_no_embedding(bench: Bench) -> None:
    frame = bench.outputs(a_photo(a_face_of(1.0)))[0].event
    assert (frame.faces[0].embedding, frame.faces[0].decision) == (None, None)


def test_a_newer_consent_that_comes_with_a_photo_is_recorded(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    newer = replace(CONSENT, granted_at=NOON + timedelta(days=1), document_version="2")
    enrollment = an_enrollment(person_id=per(1), face_id="face_2", consent=newer)
    answer_to(bench, a_photo(a_face_of(0.9, 0.1), sequence=2, enrollment=enrollment))
    assert published(bench, Person)[-1].consent == newer
    assert published(bench, AuditEntry)[-1].action == "consent_granted"


def test_a_newer_consent_counts_even_with_a_picture_that_is_known(bench: Bench) -> None:
    face = a_face_of(1.0)
    withdrawn = replace(CONSENT, status="withdrawn", granted_at=NOON + timedelta(hours=1))
    newer = replace(CONSENT, granted_at=NOON + timedelta(hours=2))
    answer_to(bench, a_photo(face, sequence=1))
    with bench.registry.transaction() as registry:
        person = registry.person(per(1))
        assert person is not None
        registry.save(replace(person, consent=withdrawn))
        registry.refresh_templates(person, recognisable=False)
    assert bench.gallery.size() == 0
    enrollment = an_enrollment(person_id=per(1), face_id="face_2", consent=newer)
    answer = answer_to(bench, a_photo(face, sequence=2, enrollment=enrollment))
    assert (answer.status, answer.enrollment and answer.enrollment.face_count) == ("success", 1)
    assert published(bench, Person)[-1].consent == newer
    assert published(bench, AuditEntry)[-1].action == "consent_granted"
    assert bench.gallery.size() == 1


def test_a_photo_that_was_enrolled_is_not_answered_otherwise_when_it_is_given_up(
    bench: Bench,
) -> None:
    photo = a_photo(a_face_of(1.0))
    first = answer_to(bench, photo)
    (*_, given_up) = emitted(bench.stage.give_up([photo], "failed", "poison"))
    assert given_up.event == first


def test_a_face_id_that_is_taken_adds_nothing(bench: Bench) -> None:
    bench.enroll(1, 1.0, sequence=1)
    taken = published(bench, Person)[0].faces[0].face_id
    mine = an_enrollment(person_id=per(1), face_id=taken)
    theirs = an_enrollment(person_id=per(2), face_id=taken)
    other = a_face_of(0.0, 1.0)
    same = answer_to(bench, a_photo(other, sequence=2, enrollment=mine)).enrollment
    assert same is not None
    assert (same.accepted, same.face_count) == (True, 1)
    assert answer_to(bench, a_photo(other, sequence=3, enrollment=theirs)).code == "PERSON_EXISTS"


def test_a_crowd_has_no_sole_face() -> None:
    photo = Photo.of(FrameWork.of(a_photo(a_face_of(1.0), a_face_of(1.0, index=1)).event))
    assert photo is not None
    assert photo.sole is None
