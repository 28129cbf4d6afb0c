"""Enrolment: a photo becomes a sample of a person, or is refused with its reason."""

from dataclasses import dataclass, replace

from mesh.errors import TransientError
from mesh.events import (
    Answer,
    AuditEntry,
    EnrolledFace,
    EnrollmentOutcome,
    Outcome,
    Person,
    Rejection,
)
from mesh.identity import derived_id
from mesh.stage import Output
from recognition.domain.enrollment import EnrollmentPolicy, consent_problem, photo_problems
from recognition.domain.matching import MatchPolicy, required_similarity
from recognition.domain.person import consenting, enrolled, recognisable
from recognition.ports import Registry, RegistryTransaction, Sample, Surroundings
from recognition.stage.gate import DEADLINE
from recognition.stage.work import EmbeddedFace, Photo


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a photo was not enrolled."""

    code: str
    message: str
    rejections: tuple[Rejection, ...] = ()
    other_person_id: str | None = None


class Enroller:
    """Enrols photos; the outcome is stored under the frame's key and answered again."""

    def __init__(
        self,
        registry: Registry,
        photos: EnrollmentPolicy,
        matching: MatchPolicy,
        around: Surroundings,
    ) -> None:
        self._registry = registry
        self._photos = photos
        self._matching = matching
        self._model_id = around.model.model_id
        self._clock = around.clock
        self._topics = around.topics

    def enroll(self, photo: Photo) -> Answer:
        """Enrol the photo's single face, or say why not; the same photo is answered the same.

        Raises:
            TransientError: the registry cannot be reached; never for a photo without a result.
        """
        if photo.frame.outcome is not Outcome.PROCESSED:
            return self._fail(photo)
        with self._registry.transaction() as registry:
            stored = registry.answer(photo.frame_key)
            if stored is not None:
                return stored
            answer = self._decide(registry, photo)
            registry.keep_answer(photo.frame_key, answer)
            return answer

    def _fail(self, photo: Photo) -> Answer:
        """What was answered before, if that can be known: somebody waits."""
        failure = self._answer(photo, "error", _failure_code(photo), _failure(photo))
        try:
            with self._registry.transaction() as registry:
                return registry.answer(photo.frame_key) or failure
        except TransientError:
            return replace(failure, message=f"{failure.message} The registry could not be asked.")

    def _decide(self, registry: RegistryTransaction, photo: Photo) -> Answer:
        person = registry.person(photo.enrollment.person_id)
        refusal = self._unwanted(registry, photo, person)
        if refusal is not None:
            return self._refuse(registry, photo, person, refusal)
        face = photo.sole
        if face is None:
            unread = Refusal("QUALITY_REJECTED", "The face could not be embedded.")
            return self._refuse(registry, photo, person, unread)
        sample = self._sample(photo, face)
        collection = person.collection if person else photo.enrollment.collection
        owner = registry.sample_owner(sample.face, collection)
        if owner and person and owner.person_id == person.person_id:
            return self._again(registry, photo, person, owner.face_id)
        other = owner.person_id if owner else self._lookalike(registry, sample, collection)
        if other is None:
            return self._accept(registry, photo, person, sample)
        message = f"This face is already enrolled as {other}."
        known = Refusal("PERSON_EXISTS", message, other_person_id=other)
        return self._refuse(registry, photo, person, known)

    def _unwanted(
        self, registry: RegistryTransaction, photo: Photo, person: Person | None
    ) -> Refusal | None:
        """What speaks against the photo whoever it shows."""
        enrollment = photo.enrollment
        if registry.erased_at(enrollment.person_id) is not None:
            return Refusal("PERSON_NOT_FOUND", f"The person {enrollment.person_id} was erased.")
        recorded = person.consent if person else None
        lapse = consent_problem(enrollment.consent, recorded, self._clock.now())
        if lapse is not None:
            return Refusal("CONSENT_REQUIRED", lapse)
        problems = photo_problems(photo.faces, self._photos)
        if problems:
            message = " ".join(problem.message for problem in problems)
            return Refusal("QUALITY_REJECTED", message, problems)
        return None

    def _lookalike(
        self, registry: RegistryTransaction, sample: Sample, collection: str
    ) -> str | None:
        """Another person whom recognition would take this face for."""
        hit = registry.nearest_other(
            sample.vector, self._model_id, collection=collection, person_id=sample.person_id
        )
        if hit is None:
            return None
        size = registry.gallery_size(self._model_id, collection)
        needed = required_similarity(self._matching, size, template=hit.concentration)
        return hit.person_id if hit.similarity >= needed else None

    def _sample(self, photo: Photo, face: EmbeddedFace) -> Sample:
        return Sample(
            face=EnrolledFace(
                face_id=photo.enrollment.face_id,
                enrolled_at=self._clock.now(),
                quality_score=face.detected.quality.score,
                model_ids=(self._model_id,),
                sha256=face.sha256,
            ),
            person_id=photo.enrollment.person_id,
            chip=face.chip,
            quality=face.detected.quality,
            frame_key=photo.frame_key,
            requested_by=photo.enrollment.requested_by,
            model_id=self._model_id,
            vector=face.vector,
        )

    def _accept(
        self, registry: RegistryTransaction, photo: Photo, before: Person | None, sample: Sample
    ) -> Answer:
        now = self._clock.now()
        person = enrolled(before, photo.enrollment, sample.face, now)
        registry.save(person)
        registry.add_sample(sample)
        self._refresh(registry, person)
        self._audit(registry, photo, "enroll_face")
        if before is None or before.consent != person.consent:
            self._audit(registry, photo, "consent_granted", kind="consent")
        return self._accepted(photo, person, sample.face.face_id)

    def _again(
        self, registry: RegistryTransaction, photo: Photo, person: Person, face_id: str
    ) -> Answer:
        """The person has this picture already; a newer consent that comes with it counts."""
        after = consenting(person, photo.enrollment.consent, self._clock.now())
        if after != person:
            registry.save(after)
            self._refresh(registry, after)
            self._audit(registry, photo, "consent_granted", kind="consent")
        return self._accepted(photo, after, face_id)

    def _refresh(self, registry: RegistryTransaction, person: Person) -> None:
        usable = recognisable(person, self._clock.now())
        registry.refresh_templates(person, recognisable=usable)
        registry.publish(Output(self._topics("persons"), person.person_id, person))

    def _accepted(self, photo: Photo, person: Person, face_id: str) -> Answer:
        outcome = EnrollmentOutcome(
            person_id=person.person_id,
            face_id=face_id,
            accepted=True,
            quality=photo.faces[0].quality,
            face_count=len(person.faces),
        )
        answer = self._answer(photo, "success", None, "The face is enrolled.")
        return replace(answer, enrollment=outcome)

    def _refuse(
        self,
        registry: RegistryTransaction,
        photo: Photo,
        person: Person | None,
        refusal: Refusal,
    ) -> Answer:
        self._audit(registry, photo, "enroll_face", denied=refusal.code)
        outcome = EnrollmentOutcome(
            person_id=photo.enrollment.person_id,
            face_id=photo.enrollment.face_id,
            accepted=False,
            rejections=refusal.rejections,
            quality=photo.faces[0].quality if len(photo.faces) == 1 else None,
            face_count=len(person.faces) if person else 0,
            other_person_id=refusal.other_person_id,
        )
        answer = self._answer(photo, "rejected", refusal.code, refusal.message)
        return replace(answer, enrollment=outcome)

    def _answer(self, photo: Photo, status: str, code: str | None, message: str) -> Answer:
        return Answer(
            request_id=photo.request.request_id,
            frame_key=photo.frame_key,
            kind="enrollment",
            status=status,
            code=code,
            message=message,
            answered_at=self._clock.now(),
        )

    def _audit(
        self,
        registry: RegistryTransaction,
        photo: Photo,
        action: str,
        *,
        kind: str = "data_modification",
        denied: str | None = None,
    ) -> None:
        enrollment = photo.enrollment
        entry = AuditEntry(
            audit_id=derived_id("aud", photo.frame_key, action),
            audit_type=kind,
            occurred_at=self._clock.now(),
            user_id=enrollment.requested_by,
            action=action,
            resource=f"face:{enrollment.face_id}",
            person_id=enrollment.person_id,
            result="denied" if denied else "success",
            reason=denied,
            attributes={"model_id": self._model_id},
        )
        registry.publish(Output(self._topics("audit"), enrollment.person_id, entry))


def _failure_code(photo: Photo) -> str:
    reason = photo.frame.reason or ""
    if photo.frame.outcome is Outcome.SHED:
        return "DEADLINE_EXCEEDED" if reason == DEADLINE else "OVERLOADED"
    if "timeout" in reason:
        return "MODEL_TIMEOUT"
    return "FRAME_UNREADABLE" if "unreadable" in reason else "PROCESSING_FAILED"


def _failure(photo: Photo) -> str:
    frame = photo.frame
    return f"The photo was not processed: {frame.outcome} ({frame.reason or 'no reason'})."
