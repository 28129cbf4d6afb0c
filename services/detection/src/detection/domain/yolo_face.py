"""Reading the output of a YOLO v8 to v12 face export with five landmarks (Ultralytics' pose head).

One output (channels, cells): centre, width and height of the box in input pixels, a score, and
five points as (x, y) or (x, y, visibility). Exports without landmarks cannot serve here: faces
could not be aligned.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detection.domain.face import RawFace
from detection.domain.letterbox import Letterbox
from detection.domain.suppression import best_faces

_BOX_AND_SCORE = 5
_POINTS = 5


def decode(
    heads: Mapping[str, NDArray[np.float32]],
    letterbox: Letterbox,
    *,
    confidence: float,
    overlap: float,
) -> list[RawFace]:
    """The faces of one frame, most confident first, in picture coordinates.

    Args:
        heads: one output for this frame, without the batch axis: shape (15 or 20, cells).
        letterbox: how the picture was fitted into the input.
        confidence: faces below it are left out, 0 to 1.
        overlap: of two boxes with a greater IoU the less confident is left out.

    Raises:
        KeyError: the output is not such a network's, or has no landmarks.
    """
    (values,) = heads.values() if len(heads) == 1 else (np.zeros(0, np.float32),)
    channels = {_BOX_AND_SCORE + 2 * _POINTS: 2, _BOX_AND_SCORE + 3 * _POINTS: 3}
    if values.ndim != 2 or values.shape[0] not in channels:
        raise KeyError(f"one output of {sorted(channels)} channels, found {values.shape}")
    found = values[:, values[4] >= confidence].T.astype(np.float64)
    centres, sizes = found[:, :2], found[:, 2:4]
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    points = found[:, _BOX_AND_SCORE:].reshape(-1, _POINTS, channels[values.shape[0]])[:, :, :2]
    return best_faces(
        found[:, 4], boxes / letterbox.scale, points / letterbox.scale, overlap=overlap
    )
