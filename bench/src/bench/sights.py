"""What else is labelled: how many faces a picture shows, and which way a head is turned.

The pictures lie below the data folder; one that is not there is left out and counted as such.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from bench.figures import say, table
from bench.pathway import decode, look
from detection.domain.face import Picture
from detection.domain.pose import estimate_pose
from detection.ports import FaceDetector
from mesh.events import Pose

FACES: Mapping[str, int] = MappingProxyType(
    {
        "insightface/t1.jpg": 6,
        "insightface/mask_black.jpg": 0,
        "insightface/mask_blue.jpg": 0,
        "insightface/mask_green.jpg": 0,
        "insightface/mask_white.jpg": 0,
        "inspireface/crop/no_face.png": 0,
        "inspireface/RD/d3.jpeg": 1,
        "inspireface/RD/d4.jpeg": 1,
        "inspireface/reaction/close_open_eyes.jpeg": 1,
        "inspireface/rotate/rot_0.jpg": 1,
        "face_recognition/examples/lin-manuel-miranda.png": 1,
        "face_recognition/examples/two_people.jpg": 2,
        "face_recognition/examples/knn_examples/test/alex_lacamoire1.jpg": 1,
        "face_recognition/examples/knn_examples/test/johnsnow_test1.jpg": 1,
        "face_recognition/examples/knn_examples/test/kit_with_rose.jpg": 2,
        "openface/adams.jpg": 1,
        "openface/carell.jpg": 1,
        "openface/clapton-1.jpg": 1,
        "openface/lennon-1.jpg": 1,
        "openface/lennon-2.jpg": 1,
        "openface/longoria-cooper.jpg": 2,
        "ultraface/2.jpg": 4,
        "ultraface/3.jpg": 5,
        "ultraface/5.jpg": 1,
        "ultraface/6.jpg": 14,
        "ultraface/10.jpg": 19,
        "ultraface/11.jpg": 26,
        "ultraface/12.jpg": 5,
        "ultraface/13.jpg": 2,
        "ultralytics/bus.jpg": 2,
        "ultralytics/zidane.jpg": 2,
    }
)
"""Faces of each picture, counted by eye."""

TURN = 20.0
"""Degrees by which pictures are turned to check the roll."""
_CLEARLY = 10.0
_HEADS = 100


def count_faces(detector: FaceDetector, images: Path) -> dict[str, Any]:
    """What a detector finds in the labelled pictures.

    Args:
        detector: at its own confidence.
        images: folder that the names of `FACES` start at.
    """
    found = {
        name: len(detector.detect([decode(images / name)])[0])
        for name in FACES
        if (images / name).is_file()
    }
    wrong = {name: [count, FACES[name]] for name, count in found.items() if count != FACES[name]}
    return {
        "pictures": len(found),
        "missing": len(FACES) - len(found),
        "right": len(found) - len(wrong),
        "faces": sum(FACES[name] for name in found),
        "found": sum(found.values()),
        "wrong": wrong,
    }


def pose_signs(detector: FaceDetector, heads: Sequence[Path]) -> dict[str, Any]:
    """Whether yaw changes its sign in a mirrored picture, and roll grows in one turned clockwise.

    Detectors draw landmarks towards the upright, so roll grows by less than the turn: by how much
    is told too, as the median in degrees.

    Args:
        detector: whose landmarks the pose is estimated from.
        heads: pictures with a face in the middle.
    """
    yaw: list[bool] = []
    growth: list[float] = []
    for path in heads:
        picture = decode(path)
        plain = _pose(detector, picture)
        mirror = _pose(detector, np.ascontiguousarray(picture[:, ::-1]))
        turned = _pose(detector, _turned(picture))
        if plain and mirror and abs(plain.yaw) >= _CLEARLY:
            yaw.append(plain.yaw * mirror.yaw < 0)
        if plain and turned:
            growth.append(turned.roll - plain.roll)
    return {
        "yaw": asked(yaw),
        "roll": asked([more > 0 for more in growth])
        | {"turned": TURN, "median_growth": round(float(np.median(growth or [0.0])), 1)},
    }


def spread(paths: Sequence[Path], most: int = _HEADS) -> list[Path]:
    """At most so many of them, from the first to the last."""
    places = np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)
    return [paths[place] for place in places]


def asked(answers: Sequence[bool]) -> dict[str, Any]:
    """How many answers are right."""
    share = sum(answers) / len(answers) if answers else 1.0
    return {"right": sum(answers), "of": len(answers), "share": round(share, 4)}


def _pose(detector: FaceDetector, picture: Picture) -> Pose | None:
    seen = look(detector, picture)
    return None if seen is None else estimate_pose(seen.face.landmarks)


def _turned(picture: Picture) -> Picture:
    """The picture turned clockwise about its middle."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -TURN, 1.0)
    turned: Picture = cv2.warpAffine(
        picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return turned


def tell(report: Mapping[str, Any]) -> None:
    """Print what was found, a row for each detector."""
    rows = [
        (
            name,
            f"{one['right']} of {one['pictures']}",
            f"{one['found']} of {one['faces']}",
        )
        for name, one in report["detection"].items()
    ]
    say("\n" + table(("detector", "pictures counted right", "faces found"), rows))
    answers = [
        (kind, name, f"{one['right']} of {one['of']}", f"{100 * one['share']:.1f} %")
        for kind in ("pose", "readings")
        for subject, said in report[kind].items()
        for name, one in _named(subject, said)
    ]
    say("\n" + table(("what", "of", "right", "share"), answers))


def _named(subject: str, answers: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows of one subject: one, or one for each kind of question."""
    if "right" in answers:
        return [(subject, answers)]
    return [(f"{subject}, {kind}", one) for kind, one in answers.items()]
