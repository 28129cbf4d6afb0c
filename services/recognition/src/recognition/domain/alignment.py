"""Alignment: the similarity transform that moves a face onto a model's own template."""

from dataclasses import dataclass

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
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_rest, target_rest = source - source_mean, target - target_mean
    variance = float((source_rest**2).sum()) / len(source)
    if variance <= np.finfo(np.float64).eps:
        raise ValueError("the landmarks are all the same point")
    left, singular, right = np.linalg.svd(target_rest.T @ source_rest / len(source))
    upright = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(upright) @ right
    scale = float((singular * upright).sum()) / variance
    shift = target_mean - scale * rotation @ source_mean
    return np.hstack([scale * rotation, shift[:, np.newaxis]])


def apply(matrix: NDArray[np.float64], points: Points) -> Points:
    """The points, shape (n, 2), after the transform of shape (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]
