"""The approximate index over templates: one per model, because vectors differ in length."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier, Literal

from recognition.domain.matching import Hit

_EF_SEARCH = 200
"""With the default of 40 one person in twelve is missed at 20,000 identities."""


def ensure(connection: Connection, model_id: str, dim: int) -> None:
    """Note the model at its first use, and give its templates an index."""
    known = connection.execute(
        "INSERT INTO gallery.models (model_id, dim) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [model_id, dim],
    )
    if known.rowcount == 0:
        return
    name = Identifier(f"templates_{sha256(model_id.encode()).hexdigest()[:12]}")
    connection.execute(
        SQL(
            "CREATE INDEX IF NOT EXISTS {} ON gallery.templates "
            "USING hnsw ({} halfvec_cosine_ops) WITH (ef_construction = 200) WHERE model_id = {}"
        ).format(name, _expression(dim), Literal(model_id))
    )


def nearest(
    connection: Connection,
    vector: NDArray[np.float32],
    model_id: str,
    *,
    collection: str | None,
    limit: int,
) -> Sequence[Hit]:
    """The nearest templates in force, best first.

    Args:
        connection: within a transaction.
        vector: unit, shape (dim,).
        model_id: whose templates.
        collection: only this one; `None` searches all.
        limit: at most so many.
    """
    connection.execute(SQL("SET LOCAL hnsw.ef_search = {}").format(Literal(_EF_SEARCH)))
    connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")
    # The index is partial: the planner only knows it if the model is written into the query.
    query = SQL(
        "SELECT person_id, 1 - ({} <=> %(probe)s::halfvec) AS similarity, concentration "
        "FROM gallery.templates WHERE model_id = {} "
        "AND (%(collection)s::text IS NULL OR collection = %(collection)s) "
        "AND (expires_at IS NULL OR expires_at > now()) "
        "ORDER BY {} <=> %(probe)s::halfvec LIMIT %(limit)s"
    ).format(_expression(len(vector)), Literal(model_id), _expression(len(vector)))
    values = {"probe": HalfVector(vector), "collection": collection, "limit": limit}
    return [
        Hit(person_id, min(max(similarity, -1.0), 1.0), concentration)
        for person_id, similarity, concentration in connection.execute(query, values)
    ]


def _expression(dim: int) -> Composed:
    return SQL("(embedding::halfvec({}))").format(Literal(dim))
