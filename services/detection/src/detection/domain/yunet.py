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
"""By which the rough product of two scores may miss the exact one, generously."""


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
    cls, obj = (_scores(heads, head) for head in ("cls", "obj"))
    places, strides = grid(letterbox.width, letterbox.height)
    if not len(cls) == len(obj) == len(places):
        raise KeyError(f"scores of {len(places)} cells, found {len(cls)} and {len(obj)}")
    # Nearly all cells are empty: they are left out before anything is computed exactly.
    likely = np.flatnonzero(cls * obj >= confidence**2 - _SLACK)
    if not likely.size:
        return []
    both = np.array([cls[likely], obj[likely]], np.float64).clip(0.0, 1.0)
    scores = np.sqrt(both[0] * both[1])
    sure = scores >= confidence
    cells, scores = likely[sure], scores[sure]
    corner, to_picture = places[cells], strides[cells] / letterbox.scale
    shapes = _shapes(heads, cells)
    centres, half = corner + shapes[:, :2], np.exp(shapes[:, 2:4]) / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1) * to_picture
    points = (shapes[:, 4:].reshape(-1, 5, 2) + corner[:, None]) * to_picture[:, None]
    return best_faces(scores, boxes, points, overlap=overlap)


def _scores(heads: Heads, head: str) -> NDArray[np.float32]:
    """The output of all strides, a value per cell."""
    return np.concatenate([heads[f"{head}_{stride}"].reshape(-1) for stride in STRIDES])


def _shapes(heads: Heads, cells: NDArray[np.intp]) -> NDArray[np.float64]:
    """Centre, size and points as a few cells tell them, given in order: shape (n, 14)."""
    found = np.empty((len(cells), 14))
    first = 0
    for stride in STRIDES:
        bbox = heads[f"bbox_{stride}"].reshape(-1, 4)
        begin, end = np.searchsorted(cells, (first, first + len(bbox)))
        if begin < end:
            inside = cells[begin:end] - first
            found[begin:end, :4] = bbox[inside]
            found[begin:end, 4:] = heads[f"kps_{stride}"].reshape(-1, 10)[inside]
        first += len(bbox)
    return found
