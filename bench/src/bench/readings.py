"""What further models say of labelled faces: open eyes, the way a head is turned, spoofs.

Each is loaded as detection loads it; a model that is not at hand leaves its row out.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.contenders import DEFAULT_PACK
from bench.figures import say
from bench.material import model_registry
from bench.pathway import decode, look
from bench.sights import asked
from detection.adapters.further_models import load_further
from detection.domain.crops import EYE_SIDE
from detection.domain.face import EyeState, Picture, RawFace
from detection.domain.pose import estimate_pose
from detection.domain.wishes import EYES, LIVENESS, POSE
from detection.ports import FaceDetector, FaceModel, FaceView
from mesh.events import BoundingBox, Liveness, Point, Pose
from mesh.models import ModelStore

TASKS = ("drowsiness", "liveness")
"""Tasks of cameras whose models are asked."""

EYE_CROPS: Mapping[str, bool] = MappingProxyType(
    {"eye_state/data/train/Open": True, "eye_state/data/train/Closed": False}
)
"""Folders of pictures of one eye, and whether it is open."""

SPOOFS: Mapping[str, bool] = MappingProxyType(
    {
        "minifas/sample/image_T1.jpg": True,
        "minifas/sample/image_F1.jpg": False,
        "minifas/sample/image_F2.jpg": False,
    }
)
"""Pictures of a face, and whether it is a living one."""

_CLEARLY = 10.0
_EVEN = 0.5


def readings(
    store: ModelStore, detector: FaceDetector, images: Path, heads: Sequence[Path]
) -> dict[str, Any]:
    """A row for each model at hand.

    Args:
        store: that has the files.
        detector: finds the faces.
        images: folder that the labelled names start at.
        heads: pictures with a face in the middle.
    """
    pack = model_registry().pack(DEFAULT_PACK)
    models = {one.task: one.model for one in load_further(pack, store, tasks=TASKS)}
    rows: dict[str, Any] = {}
    if EYES in models:
        rows["eye_state"] = eye_state(models[EYES], images)
    if LIVENESS in models:
        rows["spoof"] = spoof(models[LIVENESS], detector, images)
    if POSE in models:
        rows["head_pose"] = head_pose(models[POSE], detector, heads)
    for task in (EYES, LIVENESS, POSE):
        if task not in models:
            say(f"{task}: no model of this task is at hand")
    return rows


def eye_state(model: FaceModel[EyeState], images: Path) -> dict[str, Any]:
    """Right answers about single eyes, by whether they are open; what is no number is wrong."""
    found: dict[str, Any] = {}
    for folder, is_open in EYE_CROPS.items():
        views = [one_eye(decode(path)) for path in sorted((images / folder).glob("*.jpg"))]
        said = [one.right_open for one in model.read(views)]
        right = [isfinite(one) and (one >= _EVEN) is is_open for one in said]
        found["open" if is_open else "closed"] = asked(right)
    return found


def one_eye(picture: Picture) -> FaceView:
    """A picture of one eye as the left eye of a face, so that it is what the model is shown."""
    height, width = picture.shape[:2]
    x, y, side = width / 2, height / 2, float(max(width, height))
    other = Point(x=x + side / EYE_SIDE, y=y)
    return FaceView(
        picture,
        RawFace(
            box=BoundingBox(x1=0, y1=0, x2=float(width), y2=float(height)),
            confidence=1.0,
            landmarks=(Point(x=x, y=y), other, other, other, other),
        ),
    )


def spoof(model: FaceModel[Liveness], detector: FaceDetector, images: Path) -> dict[str, Any]:
    """Whether living faces score above a half, and photos of faces below."""
    scores: dict[str, float] = {}
    for name in SPOOFS:
        path = images / name
        seen = look(detector, decode(path)) if path.is_file() else None
        if seen is not None:
            [said] = model.read([FaceView(seen.picture, seen.face)])
            scores[name] = round(said.score, 4)
    return asked([(score >= _EVEN) is SPOOFS[name] for name, score in scores.items()]) | {
        "scores": scores
    }


def head_pose(
    model: FaceModel[Pose], detector: FaceDetector, heads: Sequence[Path]
) -> dict[str, Any]:
    """How often the network and the landmarks turn a head to the same side."""
    same = []
    for path in heads:
        seen = look(detector, decode(path))
        if seen is None:
            continue
        [said] = model.read([FaceView(seen.picture, seen.face)])
        rough = estimate_pose(seen.face.landmarks)
        if abs(said.yaw) >= _CLEARLY:
            same.append(said.yaw * rough.yaw > 0)
    return {"yaw as the landmarks": asked(same)}
