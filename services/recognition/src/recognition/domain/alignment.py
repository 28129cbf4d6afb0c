"""Alignment: the similarity transform that moves a face onto a model's own template."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Five points, shape (5, 2), pixels: the eyes, the nose, the corners of the mouth, each pair
from left to right as seen in the picture."""


@dataclass(frozen=True, slots=True)
class Template:
    """Where a model wants the five points, and how large its square input is."""

    name: str
    size: int
    """Side of the input, pixels."""
    points: tuple[tuple[float, float], ...]
    """Five points in pixels of the input."""

    def array(self) -> Points:
        """The points, shape (5, 2)."""
        return np.array(self.points, dtype=np.float64)


ARCFACE_112 = Template(
    "arcface-112",
    112,
    (
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ),
)
"""The template of ArcFace and most open models (insightface, face_align.py)."""

OMZ_128 = Template(
    "omz-128",
    128,
    tuple(
        (x * 128, y * 128)
        for x, y in (
            (0.31556875, 0.4615741071428571),
            (0.6826229166666667, 0.4615741071428571),
            (0.5002624999999999, 0.6405053571428571),
            (0.34947187500000004, 0.8246919642857142),
            (0.6534364583333333, 0.8232508928571428),
        )
    ),
)
"""The template of face-reidentification-retail-0095 (Open Model Zoo, its README)."""

TEMPLATES = MappingProxyType({template.name: template for template in (ARCFACE_112, OMZ_128)})
"""By the name that a model gives in `ModelSpec.alignment`."""


def similarity_transform(source: Points, target: Points) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that move `source` nearest to `target`.

    Least squares after Umeyama (1991), mirror images excluded.

    Args:
        source: shape (n, 2), n >= 2.
        target: shape (n, 2).

    Returns:
        The matrix of shape (2, 3) that maps a column (x, y, 1).

    Raises:
        ValueError: the shapes differ, or all source points are the same.
    """
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise ValueError(f"expected two arrays of shape (n, 2), got {source.shape}, {target.shape}")
    matrices, usable = similarity_transforms(source[np.newaxis], target)
    if not usable[0]:
        raise ValueError("the landmarks are all the same point")
    matrix: NDArray[np.float64] = matrices[0]
    return matrix


def similarity_transforms(
    sources: NDArray[np.float64], target: Points
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`similarity_transform` of many faces onto one template at once.

    Args:
        sources: shape (faces, n, 2), n >= 2.
        target: shape (n, 2).

    Returns:
        The matrices, shape (faces, 2, 3), and which of them can be used, shape (faces,): not
        those of points that are all the same, or not finite.
    """
    usable = np.asarray(np.isfinite(sources).all(axis=(1, 2)))
    finite = np.where(usable[:, None, None], sources, 0.0)
    source_mean, target_mean = finite.mean(axis=1), target.mean(axis=0)
    source_rest, target_rest = finite - source_mean[:, None], target - target_mean
    variance = (source_rest**2).sum(axis=(1, 2)) / len(target)
    usable = usable & (variance > np.finfo(np.float64).eps)
    left, singular, right = np.linalg.svd(target_rest.T @ source_rest / len(target))
    upright = np.ones((len(sources), 2))
    upright[:, 1] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotation = (left * upright[:, None]) @ right
    scale = (singular * upright).sum(axis=1) / np.where(usable, variance, 1.0)
    linear = scale[:, None, None] * rotation
    shift = target_mean - (linear @ source_mean[:, :, None])[:, :, 0]
    return np.concatenate([linear, shift[:, :, None]], axis=2), usable


def apply(matrix: NDArray[np.float64], points: Points) -> Points:
    """The points, shape (n, 2), after the transform of shape (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]
