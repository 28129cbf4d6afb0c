"""Persons, consent, samples and embeddings in PostgreSQL; events leave through the outbox."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime

from pgvector import HalfVector
from psycopg import Connection

from mesh.events import Answer, EnrolledFace, Person
from mesh.ports import Codec
from mesh.stage import Output
from mesh.topics import Topics
from recognition.adapters import postgres_persons, template_index
from recognition.adapters.database import Database
from recognition.domain.embedding import Vector, mean_of, unit
from recognition.domain.matching import Hit
from recognition.ports import RegistryTransaction, Sample, SampleOwner, StoredChip

_ADD_SAMPLE = """
    INSERT INTO gallery.samples (face_id, person_id, frame_key, chip, chip_width, chip_height,
                                 landmarks, sha256, quality, sharpness, brightness, enrolled_at,
                                 enrolled_by)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_EMBEDDING = """
    INSERT INTO gallery.embeddings (face_id, model_id, embedding)
    SELECT face_id, %s, %s FROM gallery.samples WHERE face_id = %s
    ON CONFLICT DO NOTHING
"""
_OWNER = """
    SELECT person_id, face_id FROM gallery.samples s JOIN gallery.persons p USING (person_id)
    WHERE face_id = %s OR (sha256 = %s AND collection = %s)
    ORDER BY face_id = %s DESC LIMIT 1
"""
_EMBEDDINGS = """
    SELECT model_id, embedding FROM gallery.embeddings JOIN gallery.samples USING (face_id)
    WHERE person_id = %s ORDER BY model_id, face_id
"""
_ADD_TEMPLATE = """
    INSERT INTO gallery.templates (person_id, model_id, collection, embedding, concentration,
                                   samples, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_SIZE = """
    SELECT count(*) FROM gallery.templates
    WHERE model_id = %s AND collection = %s AND (expires_at IS NULL OR expires_at > now())
"""
_CHANGE = """
    WITH head AS (UPDATE gallery.head SET version = version + 1 RETURNING version)
    INSERT INTO gallery.changes (version, person_id) SELECT version, %s FROM head
"""
_UNEMBEDDED = """
    SELECT face_id, person_id, chip, chip_width, chip_height, landmarks FROM gallery.samples s
    WHERE face_id > %s AND NOT EXISTS (
        SELECT FROM gallery.embeddings e WHERE e.face_id = s.face_id AND e.model_id = %s)
    ORDER BY face_id LIMIT %s
"""


class PostgresRegistry:
    """The registry of this installation; changes happen one after the other."""

    def __init__(
        self,
        database: Database,
        codec: Codec,
        topics: Topics,
        *,
        changing: Callable[[], AbstractContextManager[None]] = nullcontext,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what it works with.

        Args:
            database: its schema must be migrated.
            codec: encodes events for the outbox and answers for later.
            topics: the topic names.
            changing: entered around every change, in the thread that makes it.
            committed: called after every change that was made.
        """
        self._database = database
        self._codec = codec
        self._topics = topics
        self._changing = changing
        self._committed = committed

    @contextmanager
    def transaction(self) -> Iterator[RegistryTransaction]:
        """Begin a change; it waits until the change of another process is done.

        Raises:
            TransientError: the database does not answer.
        """
        with self._changing(), self._database.transaction() as connection:
            connection.execute("SELECT version FROM gallery.head FOR UPDATE")
            yield PostgresTransaction(connection, self._codec, self._topics)
        self._committed()

    def unembedded(self, model_id: str, *, after: str, limit: int) -> Sequence[StoredChip]:
        """Samples that the model has not embedded yet, by face_id, beyond `after`."""
        with self._database.transaction() as connection:
            rows = connection.execute(_UNEMBEDDED, [after, model_id, limit]).fetchall()
        return [
            StoredChip(face_id, person_id, postgres_persons.chip_of(*chip))
            for face_id, person_id, *chip in rows
        ]


class PostgresTransaction:
    """One change of the registry."""

    def __init__(self, connection: Connection, codec: Codec, topics: Topics) -> None:
        self._connection = connection
        self._codec = codec
        self._topics = topics

    def answer(self, key: str) -> Answer | None:
        """What was answered to this frame or request before."""
        query = "SELECT answer FROM gallery.answers WHERE key = %s"
        row = self._connection.execute(query, [key]).fetchone()
        if row is None:
            return None
        answer: Answer = self._codec.decode(self._topics("answers"), bytes(row[0]))
        return answer

    def keep_answer(self, key: str, answer: Answer) -> None:
        """Answer the same when the frame or request comes again."""
        value = self._codec.encode(self._topics("answers"), answer)
        self._connection.execute(
            "INSERT INTO gallery.answers (key, answer) VALUES (%s, %s)", [key, value]
        )

    def person(self, person_id: str) -> Person | None:
        """The registry entry."""
        return postgres_persons.load(self._connection, person_id)

    def erased_at(self, person_id: str) -> datetime | None:
        """When the person was erased."""
        query = "SELECT erased_at FROM gallery.erasures WHERE person_id = %s"
        row = self._connection.execute(query, [person_id]).fetchone()
        return row[0] if row else None

    def save(self, person: Person) -> None:
        """Store the entry and its consent."""
        postgres_persons.save(self._connection, person)

    def add_sample(self, sample: Sample) -> None:
        """Store a picture and its embedding."""
        chip, face = sample.chip, sample.face
        values = [face.face_id, sample.person_id, sample.frame_key, chip.image, chip.width]
        values += [chip.height, postgres_persons.flat(chip.landmarks), face.sha256]
        values += [sample.quality.score, sample.quality.sharpness, sample.quality.brightness]
        self._connection.execute(_ADD_SAMPLE, [*values, face.enrolled_at, sample.requested_by])
        self.add_embedding(face.face_id, sample.model_id, sample.vector)

    def add_embedding(self, face_id: str, model_id: str, vector: Vector) -> None:
        """Store what a model makes of a picture; does nothing if the picture is gone."""
        template_index.ensure(self._connection, model_id, len(vector))
        self._connection.execute(_ADD_EMBEDDING, [model_id, HalfVector(vector), face_id])

    def sample_owner(self, face: EnrolledFace, collection: str) -> SampleOwner | None:
        """Who has a sample of this face_id, or in the collection one with the same picture."""
        values = [face.face_id, face.sha256, collection, face.face_id]
        row = self._connection.execute(_OWNER, values).fetchone()
        return SampleOwner(*row) if row else None

    def nearest_other(
        self, vector: Vector, model_id: str, *, collection: str, person_id: str
    ) -> Hit | None:
        """The nearest recognisable person of the collection other than this one."""
        hits = template_index.nearest(
            self._connection, vector, model_id, collection=collection, limit=2
        )
        return next((hit for hit in hits if hit.person_id != person_id), None)

    def delete_sample(self, face_id: str) -> None:
        """Remove a picture and its embeddings."""
        self._connection.execute("DELETE FROM gallery.samples WHERE face_id = %s", [face_id])

    def refresh_templates(self, person: Person, *, recognisable: bool) -> None:
        """Recompute the mean templates, or remove them; the gallery gets a new version."""
        self._connection.execute(
            "DELETE FROM gallery.templates WHERE person_id = %s", [person.person_id]
        )
        by_model: dict[str, list[Vector]] = defaultdict(list)
        if recognisable:
            for model_id, stored in self._connection.execute(_EMBEDDINGS, [person.person_id]):
                by_model[model_id].append(unit(stored.to_numpy()[None, :])[0])
        expires_at = person.consent.expires_at if person.consent else None
        for model_id, vectors in by_model.items():
            mean = mean_of(vectors)
            values = [person.person_id, model_id, person.collection, HalfVector(mean.vector)]
            values += [mean.concentration, mean.count, expires_at]
            self._connection.execute(_ADD_TEMPLATE, values)
        self._connection.execute(_CHANGE, [person.person_id])

    def erase(self, person_id: str, at: datetime) -> Mapping[str, int]:
        """Remove everything stored of the person; counts of rows by kind."""
        counts = {
            table: self._connection.execute(statement, [person_id]).rowcount
            for table, statement in _ERASE.items()
        }
        self.remember_erased(person_id, at)
        self._connection.execute(_CHANGE, [person_id])
        return counts

    def remember_erased(self, person_id: str, at: datetime) -> None:
        """Refuse this person from now on."""
        self._connection.execute(
            "INSERT INTO gallery.erasures (person_id, erased_at) VALUES (%s, %s)", [person_id, at]
        )

    def publish(self, output: Output) -> None:
        """Send the event after the transaction, in order, at least once."""
        event = output.event
        value = None if event is None else self._codec.encode(output.topic, event)
        self._connection.execute(
            "INSERT INTO gallery.outbox (topic, key, value) VALUES (%s, %s, %s)",
            [output.topic, output.key, value],
        )

    def gallery_size(self, model_id: str, collection: str) -> int:
        """Persons with templates of the model in the collection."""
        row = self._connection.execute(_SIZE, [model_id, collection]).fetchone()
        return int(row[0]) if row else 0


_ERASE = {
    "templates": "DELETE FROM gallery.templates WHERE person_id = %s",
    "embeddings": "DELETE FROM gallery.embeddings e USING gallery.samples s "
    "WHERE s.face_id = e.face_id AND s.person_id = %s",
    "samples": "DELETE FROM gallery.samples WHERE person_id = %s",
    "consents": "DELETE FROM gallery.consents WHERE person_id = %s",
    "persons": "DELETE FROM gallery.persons WHERE person_id = %s",
}
"""In the order that foreign keys demand."""
