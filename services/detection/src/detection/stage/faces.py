"""The third step for faces: filter, follow, measure, cut chips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from detection.domain.chip import visible_share
from detection.domain.face import GreyFace
from detection.domain.pose import estimate_pose
from detection.domain.quality import measure, rejections
from detection.domain.selection import face_filter, select_faces
from detection.domain.wishes import FACE_TASKS, FACES
from detection.ports import FaceView
from detection.stage.chips import ChipMaker, Order
from detection.stage.work import DetectionPolicy, FaceNotes, FrameWork, Tools
from mesh.events import DetectedFace, FaceChip, Purpose, Rejection
from mesh.identity import detection_id


class FaceReporter:
    """Makes what the detector found into what recognition needs."""

    def __init__(self, tools: Tools, policy: DetectionPolicy) -> None:
        self._tools = tools
        self._policy = policy
        self._chips = ChipMaker(tools.cutter, policy)

    def select(self, work: FrameWork) -> None:
        """Leave only the faces to report, largest first, clipped to the picture."""
        if work.image is not None:
            height, width = work.image.shape[:2]
            limits = face_filter(work.event)
            work.faces = select_faces(work.faces, limits, width=width, height=height)

    def report(self, works: Sequence[FrameWork]) -> list[list[DetectedFace]]:
        """The faces of each frame with tracks, quality and chips.

        Only where faces are wanted as such do they get chips: without one nobody is recognised.
        """
        views = [_views(work) for work in works]
        greys = iter(self._tools.cutter.grey([view for frame in views for view in frame]))
        chips = self._chips.make(
            [
                Order(frame if "face" in work.tasks else ())
                for work, frame in zip(works, views, strict=True)
            ]
        )
        return [
            self._of_frame(work, [_Seen(view, next(greys)) for view in frame], cut)
            for work, frame, cut in zip(works, views, chips, strict=True)
        ]

    def _of_frame(
        self, work: FrameWork, seen: Sequence["_Seen"], chips: Sequence[FaceChip | Rejection]
    ) -> list[DetectedFace]:
        if work.image is None or not work.tasks & FACE_TASKS:
            return []
        tracks: Sequence[str | None] = [None] * len(seen)
        if work.event.frame.purpose is Purpose.SURVEILLANCE:
            tracks = self._tools.tracker.follow(work.event.frame, work.faces)
        key = work.event.frame.frame_key
        given: Sequence[FaceChip | Rejection | None] = chips or [None] * len(seen)
        notes = work.notes or [FaceNotes()] * len(seen)
        detector = next((use.model_id for use in work.models if use.task == FACES), None)
        return [
            replace(
                _with(chip, self._measure(one, note, detector)),
                index=index,
                detection_id=detection_id(key, index),
                track_id=track,
            )
            for index, (one, track, chip, note) in enumerate(
                zip(seen, tracks, given, notes, strict=True)
            )
        ]

    def _measure(self, seen: "_Seen", note: FaceNotes, detector: str | None) -> DetectedFace:
        """The face with its pose and quality, and nothing that depends on its place."""
        face = seen.view.face
        height, width = seen.view.image.shape[:2]
        policy = self._policy.quality
        pose = note.pose or estimate_pose(face.landmarks)
        visible = visible_share(face.box, width=width, height=height)
        quality = measure(seen.grey, face, pose, policy, visible=visible, detector=detector)
        return DetectedFace(
            index=0,
            detection_id="",
            box=face.box,
            confidence=face.confidence,
            landmarks=face.landmarks,
            quality=quality,
            pose=pose,
            rejections=rejections(face, quality, pose, policy),
            attributes=note.attributes,
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """A face in its picture, and scaled to be measured."""

    view: FaceView
    grey: GreyFace


def _views(work: FrameWork) -> list[FaceView]:
    """The faces of a frame in its picture; none where faces are not wanted."""
    if work.image is None or not work.tasks & FACE_TASKS:
        return []
    return [FaceView(work.image, face) for face in work.faces]


def _with(chip: FaceChip | Rejection | None, face: DetectedFace) -> DetectedFace:
    """The face with its chip, or with why it has none."""
    if isinstance(chip, Rejection):
        return replace(face, rejections=(*face.rejections, chip))
    return replace(face, chip=chip)
