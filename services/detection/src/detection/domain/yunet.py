"""Reading the output of YuNet 2023mar: an anchor-free detector with three strides.

Each cell of a stride predicts one face: class and objectness scores, the centre as an offset in
cells, the size as a logarithm of cells, and five points as offsets in cells (OpenCV's
`FaceDetectorYN` decodes the same way).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detection.domain.face import RawFace
from detection.domain.letterbox import Letterbox
from detection.domain.suppression import best_faces

STRIDES = (8, 16, 32)
OUTPUTS = tuple(f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
"""Names of the network's outputs; each has shape (frames, cells, 1, 1, 4 or 10)."""

_SLACK = 1e-3
"""By which the rough product of two scores may miss the exact one, generously."""


def decode(
    heads: Mapping[str, NDArray[np.float32]],
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
    rows = {name: heads[name].reshape(-1, heads[name].shape[-1]) for name in OUTPUTS}
    parts = [_decode_stride(rows, stride, letterbox, confidence) for stride in STRIDES]
    scores, boxes, points = (np.concatenate(part) for part in zip(*parts, strict=True))
    return best_faces(scores, boxes, points, overlap=overlap)


def _decode_stride(
    heads: Mapping[str, NDArray[np.float32]],
    stride: int,
    letterbox: Letterbox,
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    cls, obj = heads[f"cls_{stride}"][:, 0], heads[f"obj_{stride}"][:, 0]
    # Nearly all cells are empty: they are left out before anything is computed exactly.
    likely = np.flatnonzero(cls * obj >= confidence**2 - _SLACK)
    classes = np.clip(cls[likely].astype(np.float64), 0.0, 1.0)
    objectness = np.clip(obj[likely].astype(np.float64), 0.0, 1.0)
    scores = np.sqrt(classes * objectness)
    sure = scores >= confidence
    cells, scores = likely[sure], scores[sure]
    columns = letterbox.width // stride
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float64)
    bbox = heads[f"bbox_{stride}"][cells].astype(np.float64)
    centres, sizes = corner + bbox[:, :2], np.exp(bbox[:, 2:])
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    points = heads[f"kps_{stride}"][cells].astype(np.float64).reshape(-1, 5, 2) + corner[:, None]
    to_picture = stride / letterbox.scale
    return scores, boxes * to_picture, points * to_picture
