"""Reading the output of YuNet 2023mar: an anchor-free detector with three strides.

Each cell of a stride predicts one face: class and objectness scores, the centre as an offset in
cells, the size as a logarithm of cells, and five points as offsets in cells (OpenCV's
`FaceDetectorYN` decodes the same way).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detection.domain.cells import STRIDES, grid
from detection.domain.face import RawFace
from detection.domain.letterbox import Letterbox
from detection.domain.suppression import best_faces

Heads = Mapping[str, NDArray[np.float32]]
OUTPUTS = tuple(f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
"""Names of the network's outputs; each has shape (frames, cells, 1, 1, 4 or 10)."""

_SLACK = 1e-3
"""By which a score may seem greater than it is, being rounded; generous."""


def decode(
    heads: Heads,
    letterbox: Letterbox,
    *,
    confidence: float,
    overlap: float,
) -> list[RawFace]:
    """The faces of one frame, most confident first, in picture coordinates.

    Args:
        heads: the outputs by name for this frame, without the batch axis: (cells, …, channels).
        letterbox: how the picture was fitted into the input.
        confidence: faces below it are left out, 0 to 1.
        overlap: of two boxes with a greater IoU the less confident is left out.

    Raises:
        KeyError: the outputs are not this network's.
    """
    places, strides = grid(letterbox.width, letterbox.height)
    objectness = np.concatenate([heads[f"obj_{stride}"].reshape(-1) for stride in STRIDES])
    classes = sum(heads[f"cls_{stride}"].size for stride in STRIDES)
    if not classes == len(objectness) == len(places):
        raise KeyError(f"scores of {len(places)} cells, found {classes} and {len(objectness)}")
    # No score exceeds the root of its objectness, by which nearly all cells are empty.
    likely = np.flatnonzero(objectness >= confidence**2 - _SLACK)
    if not likely.size:
        return []
    told = _told(heads, likely)
    both = told[:, :2].clip(0.0, 1.0)
    scores = np.sqrt(both[:, 0] * both[:, 1])
    sure = scores >= confidence
    cells, scores, shapes = likely[sure], scores[sure], told[sure, 2:]
    corner, to_picture = places[cells], strides[cells] / letterbox.scale
    centres, half = corner + shapes[:, :2], np.exp(shapes[:, 2:4]) / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1) * to_picture
    points = (shapes[:, 4:].reshape(-1, 5, 2) + corner[:, None]) * to_picture[:, None]
    return best_faces(scores, boxes, points, overlap=overlap)


def _told(heads: Heads, cells: NDArray[np.intp]) -> NDArray[np.float64]:
    """Scores, centre, size and points of some cells, which are in order: shape (n, 16)."""
    told = np.empty((len(cells), 16))
    first = 0
    for stride in STRIDES:
        cls = heads[f"cls_{stride}"].reshape(-1)
        begin, end = np.searchsorted(cells, (first, first + len(cls)))
        if begin < end:
            inside = cells[begin:end] - first
            told[begin:end, 0] = cls[inside]
            told[begin:end, 1] = heads[f"obj_{stride}"].reshape(-1)[inside]
            told[begin:end, 2:6] = heads[f"bbox_{stride}"].reshape(-1, 4)[inside]
            told[begin:end, 6:] = heads[f"kps_{stride}"].reshape(-1, 10)[inside]
        first += len(cls)
    return told
