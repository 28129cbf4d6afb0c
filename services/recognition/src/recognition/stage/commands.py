"""Commands: change, erase and search persons; each is answered, and answered the same again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

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
from mesh.record import Record
from mesh.stage import Emit, Output, Reject
from recognition.domain.embedding import from_event
from recognition.domain.person import recognisable, update_problem, updated, without_face
from recognition.ports import Gallery, Registry, RegistryTransaction, Surroundings

Command: TypeAlias = UpdatePerson | DeleteFace | ErasePerson | SearchFaces
_MAX_HITS = 100


class CommandStage:
    """Carries out the commands of `gallery.commands`."""

    def __init__(self, registry: Registry, gallery: Gallery, around: Surroundings) -> None:
        self._registry = registry
        self._gallery = gallery
        self._model = around.model
        self._clock = around.clock
        self._topics = around.topics

    def process(self, batch: Sequence[Record[Command]]) -> Sequence[Emit | Reject]:
        """Carry out commands in order.

        Raises:
            TransientError: the registry or the gallery cannot be reached.
        """
        return [self._carry_out(record.event) for record in batch]

    def give_up(
        self, batch: Sequence[Record[Command]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        """Answer that the commands were not carried out."""
        message = f"The command was not carried out: {outcome} ({reason})."
        return [
            self._emit(self._answer(record.event, "error", "PROCESSING_FAILED", message))
            for record in batch
        ]

    def _carry_out(self, command: Command) -> Emit | Reject:
        if isinstance(command, SearchFaces):
            return self._emit(self._search(command))
        with self._registry.transaction() as registry:
            answer = registry.answer(command.request_id)
            if answer is None:
                answer = self._apply(registry, command)
                registry.keep_answer(command.request_id, answer)
        return self._emit(answer)

    def _apply(
        self, registry: RegistryTransaction, command: UpdatePerson | DeleteFace | ErasePerson
    ) -> Answer:
        person = registry.person(command.person_id)
        gone = registry.erased_at(command.person_id) is not None
        if isinstance(command, UpdatePerson) and not gone:
            return self._update(registry, command, person)
        if person is None or isinstance(command, UpdatePerson):
            if isinstance(command, ErasePerson) and not gone:
                registry.remember_erased(command.person_id, self._clock.now())
            message = f"There is no person {command.person_id}."
            return self._refuse(registry, command, "PERSON_NOT_FOUND", message)
        if isinstance(command, ErasePerson):
            return self._erase(registry, command)
        return self._delete(registry, command, person)

    def _update(
        self, registry: RegistryTransaction, command: UpdatePerson, person: Person | None
    ) -> Answer:
        problem = update_problem(person, command)
        if problem is not None:
            return self._refuse(registry, command, *problem)
        after = updated(person, command, self._clock.now())
        self._store(registry, after)
        self._audit(registry, command, "create_person" if person is None else "update_person")
        if command.consent is not None:
            action = f"consent_{command.consent.status}"
            self._audit(registry, command, action, kind="consent")
        return self._answer(command, "success", None, "The person was saved.")

    def _delete(self, registry: RegistryTransaction, command: DeleteFace, person: Person) -> Answer:
        if command.face_id not in {face.face_id for face in person.faces}:
            message = f"The person has no face {command.face_id}."
            return self._refuse(registry, command, "FACE_NOT_FOUND", message)
        registry.delete_sample(command.face_id)
        self._store(registry, without_face(person, command.face_id, self._clock.now()))
        self._audit(registry, command, "delete_face")
        return self._answer(command, "success", None, "The face was deleted.")

    def _erase(self, registry: RegistryTransaction, command: ErasePerson) -> Answer:
        now = self._clock.now()
        counts = registry.erase(command.person_id, now)
        kept = self._topics.spec(self._topics("gallery.commands")).retention or timedelta(0)
        requested = ErasureRequested(
            person_id=command.person_id,
            request_id=command.request_id,
            requested_by=command.requested_by,
            requested_at=command.requested_at,
        )
        report = ErasureReport(
            person_id=command.person_id,
            request_id=command.request_id,
            service="recognition",
            store="gallery",
            counts=counts,
            completed_at=now,
            unreadable_after=now + kept,
        )
        registry.publish(Output(self._topics("persons"), command.person_id, None))
        registry.publish(Output(self._topics("erasures"), command.person_id, requested))
        registry.publish(Output(self._topics("erasures"), command.person_id, report))
        self._audit(registry, command, "erase_person")
        return self._answer(command, "success", None, "The person was erased.")

    def _search(self, command: SearchFaces) -> Answer:
        problem = self._search_problem(command)
        if problem is not None:
            return self._answer(command, "rejected", *problem)
        vector = from_event(command.embedding)
        result = self._gallery.search(vector[None, :], [command.collection], command.limit)
        with self._registry.transaction() as registry:
            self._audit(registry, command, "search_faces", kind="data_access")
        hits = tuple(hit.candidate() for hit in result.matches[0].hits)
        message = f"{len(hits)} of {result.matches[0].gallery_size} persons."
        return replace(self._answer(command, "success", None, message), candidates=hits)

    def _search_problem(self, command: SearchFaces) -> tuple[str, str] | None:
        if not 1 <= command.limit <= _MAX_HITS:
            return "INVALID_REQUEST", f"limit must be 1 to {_MAX_HITS}, not {command.limit}."
        if command.embedding.model_id != self._model.model_id:
            return (
                "MODEL_MISMATCH",
                f"The gallery compares embeddings of {self._model.model_id}, "
                f"not {command.embedding.model_id}.",
            )
        if command.embedding.dim != self._model.dim:
            return "INVALID_REQUEST", f"embedding: must have {self._model.dim} elements."
        try:
            from_event(command.embedding)
        except ValueError as error:
            return "INVALID_REQUEST", f"embedding: {error}."
        return None

    def _store(self, registry: RegistryTransaction, person: Person) -> None:
        registry.save(person)
        usable = recognisable(person, self._clock.now())
        registry.refresh_templates(person, recognisable=usable)
        registry.publish(Output(self._topics("persons"), person.person_id, person))

    def _refuse(
        self, registry: RegistryTransaction, command: Command, code: str, message: str
    ) -> Answer:
        self._audit(registry, command, _ACTIONS[type(command)], denied=code)
        return self._answer(command, "rejected", code, message)

    def _answer(self, command: Command, status: str, code: str | None, message: str) -> Answer:
        return Answer(
            request_id=command.request_id,
            kind="search" if isinstance(command, SearchFaces) else "command",
            status=status,
            code=code,
            message=message,
            answered_at=self._clock.now(),
        )

    def _emit(self, answer: Answer) -> Emit:
        return Emit((Output(self._topics("answers"), answer.request_id, answer),))

    def _audit(
        self,
        registry: RegistryTransaction,
        command: Command,
        action: str,
        *,
        kind: str = "data_modification",
        denied: str | None = None,
    ) -> None:
        person_id = None if isinstance(command, SearchFaces) else command.person_id
        resource = f"person:{person_id}" if person_id else "gallery:templates"
        if isinstance(command, DeleteFace):
            resource = f"face:{command.face_id}"
        entry = AuditEntry(
            audit_id=derived_id("aud", command.request_id, action),
            audit_type=kind,
            occurred_at=self._clock.now(),
            user_id=command.requested_by,
            action=action,
            resource=resource,
            person_id=person_id,
            result="denied" if denied else "success",
            reason=denied,
        )
        registry.publish(Output(self._topics("audit"), person_id or command.request_id, entry))


_ACTIONS: dict[type, str] = {
    UpdatePerson: "update_person",
    DeleteFace: "delete_face",
    ErasePerson: "erase_person",
}
