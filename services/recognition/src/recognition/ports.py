"""What recognition needs from the world."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mesh.clock import Clock
from mesh.events import Answer, EnrolledFace, FaceChip, FaceQuality, Person
from mesh.stage import Output
from mesh.topics import Topics
from recognition.domain.embedding import Vector, Vectors
from recognition.domain.matching import Hit


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderInfo:
    """What a loaded embedder is."""

    model_id: str
    name: str
    version: str
    licence: str
    sha256: str
    pack: str
    aliases: tuple[str, ...]
    device: str
    engine: str
    dim: int
    path: str | None = None
    """Main file as it was loaded."""
    precision: str | None = None
    """f32, bf16 or f16, where the engine tells."""
    fallback_used: bool = False
    """Whether it stood in for the engine that should have run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryPolicy:
    """How the mirror is kept."""

    max_age_seconds: float = 5.0
    """A mirror that has not seen the database for longer is not searched."""
    poll_seconds: float = 0.5
    """How often it looks for changes."""
    mirror_limit: int = 100_000
    """More templates than this are searched by the database's index instead."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every part of one process shares."""

    clock: Clock
    topics: Topics
    instance_id: str
    model: EmbedderInfo
    """The model that embeds and is compared with."""


class FaceEmbedder(Protocol):
    """Turns faces into unit vectors; safe to call from several threads."""

    @property
    def info(self) -> EmbedderInfo:
        """The model behind it; with fallbacks as it answered this thread's last call."""

    def warm_up(self) -> None:
        """Run once on a made-up picture, so that the first face is as fast as the next."""

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align and embed chips, in order; blocks.

        Returns:
            Unit rows, float32, shape (n, dim); a row of zeros where the chip cannot be read.

        Raises:
            inference.chain.ChainTimeoutError: no engine answered in time.
            inference.engine.EngineError: the engine failed.
        """


@dataclass(frozen=True, slots=True)
class Matches:
    """What one probe found."""

    hits: tuple[Hit, ...]
    """Nearest persons by their mean templates, best first."""
    gallery_size: int
    """Persons with templates of the model in the searched collection."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What all probes of one call found, in one version of the gallery."""

    version: int
    matches: tuple[Matches, ...]
    """One per probe, in order."""


class Gallery(Protocol):
    """The persons who may be recognised, searched by their mean templates of one model."""

    def search(
        self, probes: Vectors, collections: Sequence[str | None], limit: int
    ) -> SearchResult:
        """The nearest persons to each probe.

        Args:
            probes: unit rows, float32, shape (n, dim).
            collections: for each probe the collection to search; `None` searches all.
            limit: at most this many persons per probe.

        Raises:
            TransientError: what is known of the gallery is too old to call anybody unknown.
        """

    def version(self) -> int:
        """The version that a search would see now."""

    def size(self, collection: str | None = None) -> int:
        """Persons that a search of the collection, or of all, would compare with now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture of a person's face as it is stored, with its embedding."""

    face: EnrolledFace
    person_id: str
    chip: FaceChip
    quality: FaceQuality
    frame_key: str
    requested_by: str
    model_id: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class SampleOwner:
    """Whose picture this is."""

    person_id: str
    face_id: str


@dataclass(frozen=True, slots=True)
class StoredChip:
    """A stored sample that a model has not embedded yet."""

    face_id: str
    person_id: str
    chip: FaceChip


class RegistryTransaction(Protocol):
    """One change of the registry: everything in it happens, or nothing; one at a time."""

    def answer(self, key: str) -> Answer | None:
        """What was answered to this frame or request before."""

    def keep_answer(self, key: str, answer: Answer) -> None:
        """Answer the same when the frame or request comes again."""

    def person(self, person_id: str) -> Person | None:
        """The registry entry."""

    def erased_at(self, person_id: str) -> datetime | None:
        """When the person was erased."""

    def save(self, person: Person) -> None:
        """Store the entry and its consent; samples are stored by `add_sample`."""

    def add_sample(self, sample: Sample) -> None:
        """Store a picture and its embedding."""

    def add_embedding(self, face_id: str, model_id: str, vector: Vector) -> None:
        """Store what a model makes of a picture; does nothing if the picture is gone."""

    def sample_owner(self, face: EnrolledFace, collection: str) -> SampleOwner | None:
        """Who has a sample of this face_id, or in the collection one with the same picture."""

    def nearest_other(
        self, vector: Vector, model_id: str, *, collection: str, person_id: str
    ) -> Hit | None:
        """The nearest recognisable person of the collection other than this one."""

    def delete_sample(self, face_id: str) -> None:
        """Remove a picture and its embeddings."""

    def refresh_templates(self, person: Person, *, recognisable: bool) -> None:
        """Recompute the mean templates, or remove them; the gallery gets a new version."""

    def erase(self, person_id: str, at: datetime) -> Mapping[str, int]:
        """Remove everything stored of the person; counts of rows by kind."""

    def remember_erased(self, person_id: str, at: datetime) -> None:
        """Refuse this person from now on: a photo that is still under way must not create it."""

    def publish(self, output: Output) -> None:
        """Send the event after the transaction, in order, at least once."""

    def gallery_size(self, model_id: str, collection: str) -> int:
        """Persons with templates of the model in the collection."""


class Registry(Protocol):
    """Persons, consent, samples and embeddings."""

    def transaction(self) -> AbstractContextManager[RegistryTransaction]:
        """Begin a change; commits at the end of the block unless it raises.

        Raises:
            TransientError: the database cannot be reached.
        """

    def unembedded(self, model_id: str, *, after: str, limit: int) -> Sequence[StoredChip]:
        """Samples that the model has not embedded yet, by face_id, beyond `after`."""
