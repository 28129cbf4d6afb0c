"""Embeddings: unit vectors of one model, their bytes, and their means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesh.events import Embedding

Vector = NDArray[np.float32]
"""Shape (dim,), unit length, or all zeros where there is no embedding."""
Vectors = NDArray[np.float32]
"""Shape (n, dim), rows as `Vector`."""

_DTYPES: Mapping[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
_MAX_DIM = 4096
_MIN_NORM = 1e-6


def unit(rows: NDArray[np.floating]) -> Vectors:
    """Scale every row to length 1; rows without length become zeros.

    Args:
        rows: shape (n, dim), any float type.
    """
    wide = np.asarray(rows, dtype=np.float32)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    usable = np.isfinite(norms) & (norms > _MIN_NORM)
    scaled: Vectors = np.where(usable, wide / np.where(usable, norms, 1.0), np.float32(0.0))
    return scaled.astype(np.float32)


def is_zero(vector: Vector) -> bool:
    """Whether it stands for no embedding."""
    return not vector.any()


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of unit vectors of one model: a person's template, a track's probe."""

    vector: Vector
    """Normalised again."""
    concentration: float
    """Length before that: 1 if all vectors are the same, less the more they differ."""
    count: int
    """Vectors that were averaged."""


def mean_of(vectors: Sequence[Vector], weights: Sequence[float] | None = None) -> Mean:
    """Average unit vectors and normalise again.

    Args:
        vectors: at least one, of one model.
        weights: one per vector, none negative; equal weights if absent or all zero.

    Raises:
        ValueError: there is no vector.
    """
    if not vectors:
        raise ValueError("a mean needs at least one vector")
    share = np.ones(len(vectors)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.sum() <= 0:
        share = np.ones(len(vectors))
    total = (np.stack(vectors).astype(np.float64) * share[:, np.newaxis]).sum(axis=0)
    mean = total / share.sum()
    return Mean(
        vector=unit(mean[np.newaxis, :])[0],
        concentration=min(float(np.linalg.norm(mean)), 1.0),
        count=len(vectors),
    )


def to_event(vector: Vector, *, model_id: str, dtype: str = "float16") -> Embedding:
    """The record of a vector; float16 moves a cosine by less than 0.001.

    Raises:
        ValueError: the dtype is neither float32 nor float16.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {sorted(_DTYPES)}, not {dtype!r}")
    data = vector.astype(_DTYPES[dtype]).tobytes()
    return Embedding(model_id=model_id, dtype=dtype, dim=len(vector), vector=data)


def from_event(embedding: Embedding) -> Vector:
    """The vector of a record, scaled to unit length.

    Raises:
        ValueError: the bytes are not what dtype and dim say, or the vector has no length.
    """
    dtype = _DTYPES.get(embedding.dtype)
    if dtype is None:
        raise ValueError(f"dtype must be one of {sorted(_DTYPES)}, not {embedding.dtype!r}")
    if not 1 <= embedding.dim <= _MAX_DIM:
        raise ValueError(f"dim must be 1 to {_MAX_DIM}, not {embedding.dim}")
    if len(embedding.vector) != embedding.dim * dtype.itemsize:
        raise ValueError(
            f"vector must have {embedding.dim * dtype.itemsize} bytes, not {len(embedding.vector)}"
        )
    vector: Vector = unit(np.frombuffer(embedding.vector, dtype=dtype)[np.newaxis, :])[0]
    if is_zero(vector):
        raise ValueError("the vector has no length")
    return vector
