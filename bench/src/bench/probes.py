"""Faces as detection measures them, some made worse, and whether recognition knows them again.

One picture of each genuine pair is taken as it is, the other as it is and made worse in two ways;
all go the product's way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from bench.contenders import DETECTOR, Contender
from bench.degraded import WAYS
from bench.pairs import Pair
from bench.pathway import Seen, decode, look
from detection.adapters.jpeg import OpenCvFaceCutter
from detection.domain.chip import GRADES, visible_share
from detection.domain.face import Picture
from detection.domain.geometry import shorter_side
from detection.domain.pose import estimate_pose
from detection.domain.quality import QualityPolicy, measure, rejections
from detection.domain.selection import FaceFilter
from detection.ports import FaceView
from mesh.events import FaceQuality, Pose

AS_IT_IS = "as it is"
ANY_FACE = FaceFilter(min_confidence=0.0, min_face_size=16.0, max_faces=200)
"""The most that a camera may be told to report."""
_WORSE = 2
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A face that detection reports."""

    fold: int
    way: str
    """How its picture was made worse, or `AS_IT_IS`."""
    side: float
    """Of the box, the shorter one, pixels."""
    confidence: float
    """Of the detector, 0 to 1."""
    pose: Pose
    visible: float
    """How much of the face and its margin the picture shows, 0 to 1."""
    quality: FaceQuality
    fit: bool
    """Whether detection has nothing against it."""
    similarity: float
    """To the other picture of its person."""


@dataclass(frozen=True, slots=True)
class Probes:
    """Everything that was shown, and what became of it."""

    found: tuple[Probe, ...]
    faceless: int
    """Pictures without a face."""


def probes(contender: Contender, pairs: Sequence[Pair]) -> Probes:
    """Show the contender of the default pack the genuine pairs, one side also made worse."""
    genuine = [pair for pair in pairs if pair.same]
    found: list[Probe] = []
    shown = 0
    for start in range(0, len(genuine), _AT_ONCE):
        views = list(_views(contender, genuine[start : start + _AT_ONCE]))
        shown += len(views)
        found += _compared(contender, [view for view in views if view.seen and view.other])
    return Probes(tuple(found), shown - len(found))


@dataclass(frozen=True, slots=True)
class _View:
    pair: Pair
    way: str
    seen: Seen | None
    other: Seen | None
    """The face of the pair's first picture."""


def _views(contender: Contender, pairs: Sequence[Pair]) -> Iterator[_View]:
    for pair in pairs:
        detector = contender.detector
        other = look(detector, decode(pair.first))
        seen = look(detector, decode(pair.second), ANY_FACE)
        yield _View(pair, AS_IT_IS, seen, other)
        if seen is None:
            continue
        for way, picture in _worse(seen, pair):
            yield _View(pair, way, look(detector, picture, ANY_FACE), other)


def _worse(seen: Seen, pair: Pair) -> Iterator[tuple[str, Picture]]:
    """The same for the same pair: the names of its pictures are the seed."""
    chance = np.random.default_rng(crc32((pair.first.name + pair.second.name).encode()))
    for way in chance.choice(list(WAYS), _WORSE, replace=False):
        strength = float(chance.uniform())
        yield str(way), WAYS[way](seen.picture, seen.face.box, strength, chance)


def _compared(contender: Contender, views: Sequence[_View]) -> list[Probe]:
    faces = [one for view in views for one in (view.seen, view.other) if one is not None]
    rows = contender.embedder.embed([face.chip(GRADES[0]) for face in faces])
    scores = (rows[::2] * rows[1::2]).sum(axis=1)
    return [
        _probe(view, view.seen, float(score))
        for view, score in zip(views, scores, strict=True)
        if view.seen is not None
    ]


def _probe(view: _View, seen: Seen, similarity: float) -> Probe:
    """What `FaceReporter` of detection says of the face."""
    face, policy = seen.face, QualityPolicy()
    height, width = seen.picture.shape[:2]
    pose = estimate_pose(face.landmarks)
    visible = visible_share(face.box, width=width, height=height)
    [grey] = OpenCvFaceCutter().grey([FaceView(seen.picture, face)])
    quality = measure(grey, face, pose, policy, visible=visible, detector=DETECTOR)
    return Probe(
        fold=view.pair.fold,
        way=view.way,
        side=shorter_side(face.box),
        confidence=face.confidence,
        pose=pose,
        visible=visible,
        quality=quality,
        fit=not rejections(face, quality, pose, policy),
        similarity=similarity,
    )
