"""The gallery in PostgreSQL, searched in an exact mirror in memory while that fits.

Exact search in memory beats the index up to 100,000 templates, with nobody missed. The mirror
follows the table of changes; nobody is called unknown because it stood still.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from psycopg import Connection

from mesh.clock import Clock
from mesh.errors import TransientError
from recognition.adapters import template_index
from recognition.adapters.database import Database
from recognition.adapters.mirror import EMPTY, Mirror, Template
from recognition.domain.embedding import Vectors, unit
from recognition.ports import GalleryPolicy, Matches, SearchResult

_TEMPLATES = """
    SELECT person_id, collection, embedding, concentration, extract(epoch FROM expires_at)::float8
    FROM gallery.templates WHERE model_id = %s
"""
_COUNTS = """
    SELECT collection, count(*) FROM gallery.templates
    WHERE model_id = %s AND (expires_at IS NULL OR expires_at > now()) GROUP BY collection
"""


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of the gallery; replaced as a whole."""

    version: int
    seen_at: float
    mirror: Mirror | None
    """None once there are too many templates to mirror."""
    counts: dict[str, int]
    """Persons by collection, where there is no mirror."""
    changes: int
    """Changes by this process that had ended when it was read."""


class PgVectorGallery:
    """Templates of one model; safe to use from several threads."""

    def __init__(
        self, database: Database, model_id: str, policy: GalleryPolicy, clock: Clock
    ) -> None:
        self._database = database
        self._model_id = model_id
        self._policy = policy
        self._clock = clock
        self._reading = Lock()
        self._counting = Lock()
        self._changing = 0
        self._changes = 0
        self._state: _State | None = None
        self._behind = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """While this process changes the gallery; searches during it and after it see the change.

        As soon as the change is committed another thread may publish it, and who reads that may
        send a frame before this thread goes on: therefore searches read anew from the beginning.
        """
        with self._counting:
            self._changing += 1
        try:
            yield
        finally:
            with self._counting:
                self._changing -= 1
                self._changes += 1

    def refresh(self) -> None:
        """Read what changed since the last time.

        Raises:
            TransientError: the database does not answer.
        """
        with self._reading:
            changes = self._changes
            began = self._clock.monotonic()
            try:
                with self._database.transaction() as connection:
                    state = self._read(connection, began, changes)
            except TransientError:
                self._behind = self._state is not None and self._state.changes != changes
                raise
            self._state, self._behind = state, False

    def check(self) -> str | None:
        """What is wrong with the mirror, or nothing; for readiness."""
        state = self._state
        if state is None:
            return "the gallery has not been read yet"
        if self._behind:
            return "a change that this process made could not be read back yet"
        age, limit = self._clock.monotonic() - state.seen_at, self._policy.max_age_seconds
        if age <= limit:
            return None
        return f"the gallery was last read {age:.1f} s ago, limit {limit:g} s"

    def version(self) -> int:
        """The version that a search would see now."""
        return self._state.version if self._state else 0

    def size(self, collection: str | None = None) -> int:
        """Persons that a search of the collection, or of all, would compare with now."""
        return 0 if self._state is None else self._size(self._state, collection)

    def search(
        self, probes: Vectors, collections: Sequence[str | None], limit: int
    ) -> SearchResult:
        """The nearest persons to each probe; see `Gallery`."""
        state = self._fresh()
        if state.mirror is not None:
            found = state.mirror.search(probes, collections, limit, self._clock.now().timestamp())
            return SearchResult(state.version, found)
        with self._database.transaction() as connection:
            matches = tuple(
                Matches(
                    tuple(
                        template_index.nearest(
                            connection, probe, self._model_id, collection=collection, limit=limit
                        )
                    ),
                    self._size(state, collection),
                )
                for probe, collection in zip(probes, collections, strict=True)
            )
        return SearchResult(state.version, matches)

    def _fresh(self) -> _State:
        state = self._state
        unread = self._changing > 0 or state is None or state.changes != self._changes
        if unread or self.check() is not None:
            self.refresh()
            state = self._state
        if state is None:
            raise TransientError("the gallery has not been read yet")
        return state

    def _size(self, state: _State, collection: str | None) -> int:
        if state.mirror is not None:
            return state.mirror.size(collection, self._clock.now().timestamp())
        if collection is None:
            return sum(state.counts.values())
        return state.counts.get(collection, 0)

    def _read(self, connection: Connection, began: float, changes: int) -> _State:
        head = connection.execute("SELECT version FROM gallery.head").fetchone()
        version = int(head[0]) if head else 0
        before = self._state
        if before is not None and before.version == version:
            return _State(version, began, before.mirror, before.counts, changes)
        counts: dict[str, int] = dict(connection.execute(_COUNTS, [self._model_id]).fetchall())
        if sum(counts.values()) > self._policy.mirror_limit:
            return _State(version, began, None, counts, changes)
        if before is None or before.mirror is None:
            mirror = EMPTY.updated(set(), self._load(connection))
            return _State(version, began, mirror, counts, changes)
        changed = self._changed_since(connection, before.version)
        fresh = self._load(connection, changed)
        return _State(version, began, before.mirror.updated(changed, fresh), counts, changes)

    def _changed_since(self, connection: Connection, version: int) -> set[str]:
        rows = connection.execute(
            "SELECT DISTINCT person_id FROM gallery.changes WHERE version > %s", [version]
        )
        return {person_id for (person_id,) in rows}

    def _load(self, connection: Connection, persons: set[str] | None = None) -> list[Template]:
        query, values = _TEMPLATES, [self._model_id]
        if persons is not None:
            rows = connection.execute(query + " AND person_id = ANY(%s)", [*values, list(persons)])
        else:
            rows = connection.execute(query, values)
        return [
            Template(person_id, collection, unit(vector.to_numpy()[None, :])[0], length, expires)
            for person_id, collection, vector, length, expires in rows
        ]
