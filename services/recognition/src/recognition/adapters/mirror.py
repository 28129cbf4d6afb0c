"""Templates in memory: exact search by one matrix product."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from recognition.domain.embedding import Vector, Vectors
from recognition.domain.matching import Hit
from recognition.ports import Matches


@dataclass(frozen=True, slots=True)
class Template:
    """The mean template of a person who may be recognised."""

    person_id: str
    collection: str
    vector: Vector
    concentration: float
    expires_at: float | None
    """Seconds since 1970; not searched from then on."""


class Mirror:
    """An immutable set of templates of one model."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._templates = MappingProxyType(dict(templates))
        self._rows = list(self._templates.values())
        self._matrix: Vectors = (
            np.stack([row.vector for row in self._rows])
            if self._rows
            else np.zeros((0, 0), dtype=np.float32)
        )
        self._collections = np.array([row.collection for row in self._rows], dtype=object)
        self._expires = np.array(
            [inf if row.expires_at is None else row.expires_at for row in self._rows]
        )

    def updated(self, changed: Collection[str], fresh: Iterable[Template]) -> "Mirror":
        """Without the changed persons, and with the fresh templates."""
        kept = {key: value for key, value in self._templates.items() if key not in changed}
        return Mirror(kept | {template.person_id: template for template in fresh})

    def size(self, collection: str | None, now: float) -> int:
        """Templates in force at this time, in one collection or in all."""
        return int(self._in_force(collection, now).sum())

    def search(
        self, probes: Vectors, collections: Sequence[str | None], limit: int, now: float
    ) -> tuple[Matches, ...]:
        """The nearest templates in force to each probe; see `Gallery.search`."""
        masks = {name: self._in_force(name, now) for name in set(collections)}
        if not self._rows:
            return tuple(Matches((), 0) for _ in collections)
        scores = np.clip(probes @ self._matrix.T, -1.0, 1.0)
        return tuple(
            self._best(row, masks[collection], limit)
            for row, collection in zip(scores, collections, strict=True)
        )

    def _in_force(self, collection: str | None, now: float) -> NDArray[np.bool_]:
        valid: NDArray[np.bool_] = self._expires > now
        return valid if collection is None else valid & (self._collections == collection)

    def _best(self, scores: NDArray[np.float32], mask: NDArray[np.bool_], limit: int) -> Matches:
        allowed = np.flatnonzero(mask)
        if len(allowed) > limit:
            nearest = np.argpartition(-scores[allowed], limit)[:limit]
            chosen = allowed[nearest]
        else:
            chosen = allowed
        ordered = sorted(chosen, key=lambda row: (-scores[row], self._rows[row].person_id))
        hits = tuple(
            Hit(self._rows[row].person_id, float(scores[row]), self._rows[row].concentration)
            for row in ordered
        )
        return Matches(hits, len(allowed))


EMPTY = Mirror({})
"""No templates."""
