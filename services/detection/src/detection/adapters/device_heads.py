"""Reading what detectors put out on the device where it is, all pictures of a batch together.

The counterparts of `detection.domain.yunet` and `detection.domain.scrfd`, where the formats are
described.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torchvision.ops import batched_nms

from detection.domain.cells import STRIDES, grid
from detection.domain.suppression import MAX_CANDIDATES

Heads = Mapping[str, Any]
"""Tensors (n, …) by name, float32."""
_CHANNELS = (1, 4, 10)
"""Of the scores, boxes and points of SCRFD."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may be faces, in pixels of the input; one row each."""

    frames: Any
    """int64, shape (n,): which picture of the batch."""
    scores: Any
    """float32, shape (n,), 0 to 1."""
    boxes: Any
    """float32, shape (n, 4), corners."""
    points: Any
    """float32, shape (n, 10), five landmarks."""


Read = Callable[[Heads, tuple[int, int], float], Candidates]
"""Reads heads of an input of (width, height) pixels as far as scores reach a confidence; raises
KeyError where they are another network's."""


def yunet(heads: Heads, size: tuple[int, int], confidence: float) -> Candidates:
    """The candidates of YuNet 2023mar; see `Read`."""
    classes, objectness, shapes, points = (
        torch.cat([_rows(heads[f"{name}_{stride}"], channels) for stride in STRIDES], dim=1)
        for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    )
    corners, strides = _grid(size, 1, classes.device)
    if not classes.shape[1] == objectness.shape[1] == len(corners):
        raise KeyError(
            f"scores of {len(corners)} cells, found {classes.shape[1]} and {objectness.shape[1]}"
        )
    scores = (classes.clamp(0, 1) * objectness.clamp(0, 1)).sqrt_().squeeze(2)
    frames, cells = torch.nonzero(scores >= confidence, as_tuple=True)
    corner, stride, shape = corners[cells], strides[cells], shapes[frames, cells]
    centres, half = corner + shape[:, :2], shape[:, 2:4].exp() / 2
    boxes = torch.cat([centres - half, centres + half], dim=1) * stride
    landmarks = (points[frames, cells] + corner.repeat(1, 5)) * stride
    return Candidates(frames, scores[frames, cells], boxes, landmarks)


def scrfd(heads: Heads, size: tuple[int, int], confidence: float) -> Candidates:
    """The candidates of SCRFD; see `Read`."""
    scores, distances, offsets = (
        torch.cat(_levels(heads, channels), dim=1) for channels in _CHANNELS
    )
    cells = sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES)
    per_cell = scores.shape[1] // cells
    if per_cell * cells != scores.shape[1] or not per_cell:
        raise KeyError(f"anchors for {cells} cells, found {scores.shape[1]}")
    corners, strides = _grid(size, per_cell, scores.device)
    scores = scores.squeeze(2)
    frames, anchors = torch.nonzero(scores >= confidence, as_tuple=True)
    corner, stride, reach = corners[anchors], strides[anchors], distances[frames, anchors]
    boxes = torch.cat([corner - reach[:, :2], corner + reach[:, 2:]], dim=1) * stride
    landmarks = (offsets[frames, anchors] + corner.repeat(1, 5)) * stride
    return Candidates(frames, scores[frames, anchors], boxes, landmarks)


READERS: Mapping[str, Read] = MappingProxyType({"yunet": yunet, "scrfd": scrfd})
"""By `ModelSpec.decoder`."""


def best(found: Candidates, overlap: float) -> Any:
    """The faces of each picture, most confident first: suppressed on the device.

    Args:
        found: the candidates.
        overlap: of two boxes of a picture with a greater IoU the less confident is left out.

    Returns:
        float32, shape (n, 16): picture, score, box, points.
    """
    order = found.scores.argsort(descending=True, stable=True)
    frames = found.frames[order]
    # The place of each among the candidates of its picture.
    own = torch.nn.functional.one_hot(frames) if len(frames) else frames[:, None]
    order = order[(own.cumsum(0) * own).sum(1) <= MAX_CANDIDATES]
    boxes, scores, frames = found.boxes[order], found.scores[order], found.frames[order]
    if len(boxes):
        boxes = boxes - boxes.min()  # batched_nms sets pictures apart by adding to coordinates
    kept = order[batched_nms(boxes, scores, frames, overlap)]
    return torch.cat(
        [
            found.frames[kept, None].float(),
            found.scores[kept, None],
            found.boxes[kept],
            found.points[kept],
        ],
        dim=1,
    )


def _rows(values: Any, channels: int) -> Any:
    return values.reshape(len(values), -1, channels)


def _levels(heads: Heads, channels: int) -> Sequence[Any]:
    """The outputs of so many channels, the finest stride, which has most anchors, first."""
    rows = [
        _rows(values, channels)
        for values in heads.values()
        if values.ndim > 2 and values.shape[-1] == channels
    ]
    if len(rows) != len(STRIDES):
        raise KeyError(f"{len(STRIDES)} outputs of {channels} channels, found {len(rows)}")
    return sorted(rows, key=lambda row: -row.shape[1])


def _grid(size: tuple[int, int], per_cell: int, device: Any) -> tuple[Any, Any]:
    """Column and row of each anchor, shape (n, 2), and its stride in pixels, (n, 1)."""
    corners, strides = (
        torch.tensor(values, dtype=torch.float32, device=device).repeat_interleave(per_cell, dim=0)
        for values in grid(*size)
    )
    return corners, strides
