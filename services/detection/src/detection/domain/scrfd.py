"""Reading the output of SCRFD (InsightFace): anchors at three strides, distances to the edges.

Each anchor stands at the corner of its cell and predicts a score, the distances to the four edges
and five points as offsets, all in cells (insightface, `model_zoo/scrfd.py`). The outputs have no
dependable names or order: they are told apart by their channels (1, 4, 10) and their lengths.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detection.domain.face import RawFace
from detection.domain.letterbox import Letterbox
from detection.domain.suppression import Values, best_faces

STRIDES = (8, 16, 32)
_CHANNELS = (1, 4, 10)
"""Of scores, boxes and points."""


def decode(
    heads: Mapping[str, NDArray[np.float32]],
    letterbox: Letterbox,
    *,
    confidence: float,
    overlap: float,
) -> list[RawFace]:
    """The faces of one frame, most confident first, in picture coordinates.

    Args:
        heads: nine outputs for this frame, without the batch axis: shape (anchors, 1, 4 or 10).
        letterbox: how the picture was fitted into the input.
        confidence: faces below it are left out, 0 to 1.
        overlap: of two boxes with a greater IoU the less confident is left out.

    Raises:
        KeyError: the outputs are not this network's, or have no landmarks.
    """
    levels = zip(*(_levels(heads, channels) for channels in _CHANNELS), strict=True)
    parts = [
        _decode_stride(level, stride, letterbox, confidence)
        for stride, level in zip(STRIDES, levels, strict=True)
    ]
    scores, boxes, points = (np.concatenate(part) for part in zip(*parts, strict=True))
    return best_faces(scores, boxes, points, overlap=overlap)


def _levels(heads: Mapping[str, NDArray[np.float32]], channels: int) -> list[NDArray[np.float32]]:
    """The outputs of so many channels, the finest stride, which has most anchors, first."""
    rows = [values.reshape(-1, channels) for values in heads.values() if _ends(values, channels)]
    if len(rows) != len(STRIDES):
        raise KeyError(f"{len(STRIDES)} outputs of {channels} channels, found {len(rows)}")
    return sorted(rows, key=len, reverse=True)


def _ends(values: NDArray[np.float32], channels: int) -> bool:
    return values.ndim > 1 and values.shape[-1] == channels


def _decode_stride(
    level: tuple[NDArray[np.float32], ...], stride: int, letterbox: Letterbox, confidence: float
) -> tuple[Values, Values, Values]:
    scores, distances, offsets = level
    columns, rows = letterbox.width // stride, letterbox.height // stride
    per_cell = len(scores) // (columns * rows)
    if per_cell * columns * rows != len(scores) or not len(scores):
        raise KeyError(f"anchors for {columns} x {rows} cells, found {len(scores)}")
    found = np.flatnonzero(scores[:, 0] >= confidence)
    cells = found // per_cell
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float64)
    reach = distances[found].astype(np.float64)
    boxes = np.concatenate([corner - reach[:, :2], corner + reach[:, 2:]], axis=1)
    points = offsets[found].astype(np.float64).reshape(-1, 5, 2) + corner[:, None]
    to_picture = stride / letterbox.scale
    return scores[found, 0].astype(np.float64), boxes * to_picture, points * to_picture
