"""Gallery and registry in memory: the same behaviour without a database, for tests and trials."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from mesh.clock import Clock
from mesh.events import Answer, EnrolledFace, Person
from mesh.stage import Output
from recognition.adapters.mirror import EMPTY, Mirror, Template
from recognition.domain.embedding import Vector, Vectors, mean_of
from recognition.domain.matching import Hit
from recognition.ports import RegistryTransaction, Sample, SampleOwner, SearchResult, StoredChip


@dataclass(slots=True)
class Contents:
    """Everything that the database would hold."""

    persons: dict[str, Person] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    embeddings: dict[tuple[str, str], Vector] = field(default_factory=dict)
    """By face_id and model_id."""
    mirrors: dict[str, Mirror] = field(default_factory=lambda: defaultdict(lambda: EMPTY))
    """Templates by model_id."""
    answers: dict[str, Answer] = field(default_factory=dict)
    erased: dict[str, datetime] = field(default_factory=dict)
    outbox: list[Output] = field(default_factory=list)
    version: int = 0


class InMemoryRegistry:
    """A registry whose transactions replace its contents at once, or not at all."""

    def __init__(self, clock: Clock) -> None:
        self.contents = Contents()
        self._clock = clock

    @contextmanager
    def transaction(self) -> Iterator[RegistryTransaction]:
        """Begin a change."""
        draft = _copy(self.contents)
        yield InMemoryTransaction(draft, self._clock)
        self.contents = draft

    def unembedded(self, model_id: str, *, after: str, limit: int) -> Sequence[StoredChip]:
        """Samples that the model has not embedded yet, by face_id, beyond `after`."""
        contents = self.contents
        missing = [
            StoredChip(face_id, sample.person_id, sample.chip)
            for face_id, sample in sorted(contents.samples.items())
            if face_id > after and (face_id, model_id) not in contents.embeddings
        ]
        return missing[:limit]


class InMemoryTransaction:
    """One change of the registry."""

    def __init__(self, contents: Contents, clock: Clock) -> None:
        self._contents = contents
        self._clock = clock

    def answer(self, key: str) -> Answer | None:
        """What was answered to this frame or request before."""
        return self._contents.answers.get(key)

    def keep_answer(self, key: str, answer: Answer) -> None:
        """Answer the same when the frame or request comes again."""
        self._contents.answers[key] = answer

    def person(self, person_id: str) -> Person | None:
        """The registry entry, with the models that embedded each sample."""
        person = self._contents.persons.get(person_id)
        if person is None:
            return None
        samples = sorted(
            (one.face for one in self._contents.samples.values() if one.person_id == person_id),
            key=lambda face: (face.enrolled_at, face.face_id),
        )
        faces = tuple(replace(face, model_ids=self._models_of(face.face_id)) for face in samples)
        return replace(person, faces=faces)

    def erased_at(self, person_id: str) -> datetime | None:
        """When the person was erased."""
        return self._contents.erased.get(person_id)

    def save(self, person: Person) -> None:
        """Store the entry and its consent."""
        self._contents.persons[person.person_id] = person

    def add_sample(self, sample: Sample) -> None:
        """Store a picture and its embedding."""
        self._contents.samples[sample.face.face_id] = sample
        self.add_embedding(sample.face.face_id, sample.model_id, sample.vector)

    def add_embedding(self, face_id: str, model_id: str, vector: Vector) -> None:
        """Store what a model makes of a picture; does nothing if the picture is gone."""
        if face_id in self._contents.samples:
            self._contents.embeddings.setdefault((face_id, model_id), vector)

    def sample_owner(self, face: EnrolledFace, collection: str) -> SampleOwner | None:
        """Who has a sample of this face_id, or in the collection one with the same picture."""
        same = self._contents.samples.get(face.face_id)
        if same is not None:
            return SampleOwner(same.person_id, face.face_id)
        for face_id, sample in self._contents.samples.items():
            owner = self._contents.persons[sample.person_id]
            if sample.face.sha256 == face.sha256 and owner.collection == collection:
                return SampleOwner(sample.person_id, face_id)
        return None

    def nearest_other(
        self, vector: Vector, model_id: str, *, collection: str, person_id: str
    ) -> Hit | None:
        """The nearest recognisable person of the collection other than this one."""
        now = self._clock.now().timestamp()
        (matches,) = self._contents.mirrors[model_id].search(vector[None, :], [collection], 2, now)
        return next((hit for hit in matches.hits if hit.person_id != person_id), None)

    def delete_sample(self, face_id: str) -> None:
        """Remove a picture and its embeddings."""
        del self._contents.samples[face_id]
        for key in [key for key in self._contents.embeddings if key[0] == face_id]:
            del self._contents.embeddings[key]

    def refresh_templates(self, person: Person, *, recognisable: bool) -> None:
        """Recompute the mean templates, or remove them; the gallery gets a new version."""
        by_model: dict[str, list[Vector]] = defaultdict(list)
        for (face_id, model_id), vector in sorted(self._contents.embeddings.items()):
            if recognisable and self._contents.samples[face_id].person_id == person.person_id:
                by_model[model_id].append(vector)
        expires = person.consent.expires_at if person.consent else None
        for model_id in {*self._contents.mirrors, *by_model}:
            fresh = (
                [
                    Template(
                        person.person_id,
                        person.collection,
                        mean.vector,
                        mean.concentration,
                        expires.timestamp() if expires else None,
                    )
                    for mean in (mean_of(by_model[model_id]),)
                ]
                if by_model.get(model_id)
                else []
            )
            mirror = self._contents.mirrors[model_id]
            self._contents.mirrors[model_id] = mirror.updated({person.person_id}, fresh)
        self._contents.version += 1

    def erase(self, person_id: str, at: datetime) -> Mapping[str, int]:
        """Remove everything stored of the person; counts of rows by kind."""
        person = self._contents.persons[person_id]
        faces = [key for key, one in self._contents.samples.items() if one.person_id == person_id]
        models = [key for key in self._contents.embeddings if key[0] in faces]
        now = self._clock.now().timestamp()
        sizes = {key: mirror.size(None, now) for key, mirror in self._contents.mirrors.items()}
        self.refresh_templates(person, recognisable=False)
        for face_id in faces:
            self.delete_sample(face_id)
        del self._contents.persons[person_id]
        self.remember_erased(person_id, at)
        return {
            "templates": sum(
                sizes[key] - mirror.size(None, now)
                for key, mirror in self._contents.mirrors.items()
            ),
            "embeddings": len(models),
            "samples": len(faces),
            "consents": int(person.consent is not None),
            "persons": 1,
        }

    def remember_erased(self, person_id: str, at: datetime) -> None:
        """Refuse this person from now on."""
        self._contents.erased[person_id] = at

    def publish(self, output: Output) -> None:
        """Send the event after the transaction, in order, at least once."""
        self._contents.outbox.append(output)

    def gallery_size(self, model_id: str, collection: str) -> int:
        """Persons with templates of the model in the collection."""
        now = self._clock.now().timestamp()
        return self._contents.mirrors[model_id].size(collection, now)

    def _models_of(self, face_id: str) -> tuple[str, ...]:
        return tuple(sorted(model for face, model in self._contents.embeddings if face == face_id))


class InMemoryGallery:
    """What an in-memory registry holds of one model; never stale."""

    def __init__(self, registry: InMemoryRegistry, model_id: str, clock: Clock) -> None:
        self._registry = registry
        self._model_id = model_id
        self._clock = clock

    def search(
        self, probes: Vectors, collections: Sequence[str | None], limit: int
    ) -> SearchResult:
        """The nearest persons to each probe; see `Gallery`."""
        mirror = self._registry.contents.mirrors[self._model_id]
        now = self._clock.now().timestamp()
        return SearchResult(self.version(), mirror.search(probes, collections, limit, now))

    def version(self) -> int:
        """The version that a search would see now."""
        return self._registry.contents.version

    def size(self, collection: str | None = None) -> int:
        """Persons that a search of the collection, or of all, would compare with now."""
        mirror = self._registry.contents.mirrors[self._model_id]
        return mirror.size(collection, self._clock.now().timestamp())


def _copy(contents: Contents) -> Contents:
    """A draft that a transaction may change; events and vectors themselves are never changed."""
    draft = Contents()
    for name in ("persons", "samples", "embeddings", "mirrors", "answers", "erased"):
        getattr(draft, name).update(getattr(contents, name))
    draft.outbox.extend(contents.outbox)
    draft.version = contents.version
    return draft
