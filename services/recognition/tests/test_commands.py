from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from services.recognition.tests.arranging import (
    MODEL_ID,
    Bench,
    a_face_of,
    a_photo,
    emitted,
    in_memory,
    per,
    vector,
)

from mesh.events import (
    Answer,
    AuditEntry,
    DeleteFace,
    ErasePerson,
    ErasureReport,
    ErasureRequested,
    Person,
    SearchFaces,
    UpdatePerson,
)
from mesh.identity import derived_id
from mesh.testing import NOON, a_record, an_embedding, an_enrollment
from recognition.adapters.memory import Contents, InMemoryRegistry
from recognition.domain.embedding import to_event
from recognition.stage.commands import Command

CONSENT = an_enrollment().consent
FACE = derived_id("face", 1)
ASKED: dict[str, Any] = {"requested_by": "tester", "requested_at": NOON}


@pytest.fixture
def bench() -> Bench:
    bench = in_memory()
    bench.enroll(1, 1.0, sequence=1)
    return bench


def contents(bench: Bench) -> Contents:
    assert isinstance(bench.registry, InMemoryRegistry)
    return bench.registry.contents


def answer_to(bench: Bench, command: Command) -> Answer:
    record = a_record(command, topic="sightline.gallery.commands", key=per(1))
    (output,) = emitted(bench.commands.process([record]))
    assert isinstance(output.event, Answer)
    assert (output.topic, output.key) == ("sightline.answers", command.request_id)
    return output.event


def update(**changes: Any) -> UpdatePerson:
    return UpdatePerson(**{"request_id": "req_u", "person_id": per(1), **ASKED, **changes})


def delete(face_id: str = FACE, **changes: Any) -> DeleteFace:
    return DeleteFace(
        **{"request_id": "req_d", "person_id": per(1), "face_id": face_id, **ASKED, **changes}
    )


def erase(**changes: Any) -> ErasePerson:
    return ErasePerson(**{"request_id": "req_e", "person_id": per(1), **ASKED, **changes})


def search(**changes: Any) -> SearchFaces:
    probe = to_event(vector(1.0), model_id=MODEL_ID, dtype="float32")
    return SearchFaces(
        **{"request_id": "req_s", "embedding": probe, "limit": 3, **ASKED, **changes}
    )


def test_a_person_is_renamed_and_the_entry_published(bench: Bench) -> None:
    assert answer_to(bench, update(name="Grace")).status == "success"
    person = contents(bench).outbox[-2].event
    assert isinstance(person, Person)
    assert (person.name, person.revision, len(person.faces)) == ("Grace", 2, 1)


def test_null_leaves_a_field_as_it_is(bench: Bench) -> None:
    answer_to(bench, update(department="Engines"))
    answer_to(bench, update(request_id="req_2", employee_id="E1"))
    person = contents(bench).persons[per(1)]
    assert (person.name, person.department, person.employee_id) == ("Ada Lovelace", "Engines", "E1")


def test_a_person_may_be_created_before_the_photo_comes(bench: Bench) -> None:
    command = update(person_id=per(9), create=True, name="Grace", consent=CONSENT)
    assert answer_to(bench, command).status == "success"
    assert bench.enroll(9, 0.0, 1.0, sequence=2).event.enrollment.face_count == 1
    assert contents(bench).persons[per(9)].name == "Grace"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"person_id": per(9)}, "PERSON_NOT_FOUND"),
        ({"person_id": per(9), "create": True}, "INVALID_REQUEST"),
        ({"status": "dead"}, "INVALID_REQUEST"),
        ({"name": " "}, "INVALID_REQUEST"),
    ],
)
def test_what_cannot_be_done_is_refused_by_code(
    bench: Bench, changes: dict[str, Any], code: str
) -> None:
    answer = answer_to(bench, update(**changes))
    assert (answer.status, answer.code) == ("rejected", code)
    entry = contents(bench).outbox[-1].event
    assert isinstance(entry, AuditEntry)
    assert (entry.result, entry.reason) == ("denied", code)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "inactive"},
        {"consent": replace(CONSENT, status="withdrawn", granted_at=NOON + timedelta(days=1))},
    ],
)
def test_who_is_inactive_or_withdrew_consent_is_no_longer_recognised(
    bench: Bench, changes: dict[str, Any]
) -> None:
    answer_to(bench, update(**changes))
    assert bench.gallery.size() == 0
    back = replace(CONSENT, granted_at=NOON + timedelta(days=2))
    answer_to(bench, update(request_id="req_2", status="active", consent=back))
    assert bench.gallery.size() == 1


def test_a_face_is_deleted_and_recognised_no_more(bench: Bench) -> None:
    assert answer_to(bench, delete()).status == "success"
    assert bench.gallery.size() == 0
    assert contents(bench).samples == {}


def test_an_unknown_face_is_refused(bench: Bench) -> None:
    assert answer_to(bench, delete("face_x")).code == "FACE_NOT_FOUND"


def test_an_erased_person_leaves_nothing_but_the_fact(bench: Bench) -> None:
    assert answer_to(bench, erase()).status == "success"
    left = contents(bench)
    assert (left.persons, left.samples, left.embeddings) == ({}, {}, {})
    assert bench.gallery.size() == 0
    tombstone, requested, report, _ = left.outbox[-4:]
    assert (tombstone.topic, tombstone.key, tombstone.event) == ("sightline.persons", per(1), None)
    assert isinstance(requested.event, ErasureRequested)
    assert isinstance(report.event, ErasureReport)
    assert report.event.counts == {
        "templates": 1, "embeddings": 1, "samples": 1, "consents": 1, "persons": 1,
    }  # fmt: skip
    assert report.event.unreadable_after == NOON + timedelta(days=7)


def test_who_was_erased_before_the_photo_came_is_not_created_by_it(bench: Bench) -> None:
    assert answer_to(bench, erase(person_id=per(9))).code == "PERSON_NOT_FOUND"
    assert answer_to(bench, erase(person_id=per(9), request_id="req_2")).status == "rejected"
    assert bench.enroll(9, 0.0, 1.0, sequence=9).event.code == "PERSON_NOT_FOUND"
    assert bench.gallery.size() == 1


def test_nobody_erased_comes_back(bench: Bench) -> None:
    answer_to(bench, erase())
    late_photo = a_photo(a_face_of(1.0, salt=b"late"), sequence=5, person=1)
    assert bench.outputs(late_photo)[1].event.code == "PERSON_NOT_FOUND"
    late_command = update(create=True, name="Ada", request_id="req_late")
    assert answer_to(bench, late_command).code == "PERSON_NOT_FOUND"
    assert answer_to(bench, erase(request_id="req_2")).code == "PERSON_NOT_FOUND"
    assert answer_to(bench, delete(request_id="req_3")).code == "PERSON_NOT_FOUND"


@pytest.mark.parametrize("command", [update(name="Grace"), delete(), erase(), update(name=" ")])
def test_a_command_carried_out_twice_changes_nothing(bench: Bench, command: Command) -> None:
    first = answer_to(bench, command)
    before = contents(bench)
    assert answer_to(bench, command) == first
    assert contents(bench) == before


def test_the_nearest_persons_are_found(bench: Bench) -> None:
    answer = answer_to(bench, search())
    assert (answer.kind, answer.status) == ("search", "success")
    assert [hit.person_id for hit in answer.candidates] == [per(1)]
    assert answer.candidates[0].similarity == pytest.approx(1.0)
    entry = contents(bench).outbox[-1].event
    assert isinstance(entry, AuditEntry)
    assert (entry.audit_type, entry.person_id) == ("data_access", None)


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"limit": 0}, "INVALID_REQUEST", "limit must be 1 to 100"),
        ({"embedding": an_embedding(model_id="other")}, "MODEL_MISMATCH", "other"),
        ({"embedding": an_embedding(dim=8, model_id=MODEL_ID)}, "INVALID_REQUEST", "32 bytes"),
        ({"embedding": an_embedding(model_id=MODEL_ID)}, "INVALID_REQUEST", "8 elements"),
    ],
)
def test_a_search_with_another_models_vector_is_refused(
    bench: Bench, changes: dict[str, Any], code: str, word: str
) -> None:
    answer = answer_to(bench, search(**changes))
    assert (answer.status, answer.code) == ("rejected", code)
    assert word in answer.message


def test_a_command_given_up_is_answered(bench: Bench) -> None:
    record = a_record(update(name="Grace"), topic="sightline.gallery.commands", key=per(1))
    (output,) = emitted(bench.commands.give_up([record], "failed", "poison"))
    assert (output.event.status, output.event.code) == ("error", "PROCESSING_FAILED")
