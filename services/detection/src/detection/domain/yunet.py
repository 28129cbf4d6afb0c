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
    cls, obj = (_levels(heads, head, 1)[:, 0] for head in ("cls", "obj"))
    places, strides = grid(letterbox.width, letterbox.height)
    if not len(cls) == len(obj) == len(places):
        raise KeyError(f"scores of {len(places)} cells, found {len(cls)} and {len(obj)}")
    # Nearly all cells are empty: they are left out before anything is computed exactly.
    likely = np.flatnonzero(cls * obj >= confidence**2 - _SLACK)
    if not likely.size:
        return []
    classes = np.clip(cls[likely].astype(np.float64), 0.0, 1.0)
    objectness = np.clip(obj[likely].astype(np.float64), 0.0, 1.0)
    scores = np.sqrt(classes * objectness)
    sure = scores >= confidence
    cells, scores = likely[sure], scores[sure]
    corner, to_picture = places[cells], strides[cells] / letterbox.scale
    bbox = _levels(heads, "bbox", 4)[cells].astype(np.float64)
    centres, half = corner + bbox[:, :2], np.exp(bbox[:, 2:]) / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1) * to_picture
    points = _levels(heads, "kps", 10)[cells].astype(np.float64).reshape(-1, 5, 2)
    points = (points + corner[:, None]) * to_picture[:, None]
    return best_faces(scores, boxes, points, overlap=overlap)


def _levels(
    heads: Mapping[str, NDArray[np.float32]], head: str, channels: int
) -> NDArray[np.float32]:
    """The output of all strides, a row per cell."""
    return np.concatenate([heads[f"{head}_{stride}"].reshape(-1, channels) for stride in STRIDES])
