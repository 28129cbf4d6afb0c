"""The third step for faces: filter, follow, measure, cut chips."""

from collections.abc import Sequence
from dataclasses import replace

from detection.domain.chip import (
    affordable_grades,
    chip_size,
    chip_window,
    into_chip,
    left_out,
    visible_share,
    within_budget,
)
from detection.domain.face import Picture, RawFace
from detection.domain.pose import estimate_pose
from detection.domain.quality import measure, rejections
from detection.domain.selection import face_filter, select_faces
from detection.domain.wishes import FACE_TASKS
from detection.stage.work import DetectionPolicy, FaceNotes, FrameWork, Tools
from mesh.events import DetectedFace, FaceChip, Purpose, Rejection
from mesh.identity import detection_id


class FaceReporter:
    """Makes what the detector found into what recognition needs."""

    def __init__(self, tools: Tools, policy: DetectionPolicy) -> None:
        self._tools = tools
        self._policy = policy

    def select(self, work: FrameWork) -> None:
        """Leave only the faces to report, largest first, clipped to the picture."""
        if work.image is not None:
            height, width = work.image.shape[:2]
            limits = face_filter(work.event)
            work.faces = select_faces(work.faces, limits, width=width, height=height)

    def report(self, work: FrameWork) -> list[DetectedFace]:
        """The faces with tracks, quality and chips.

        Only where faces are wanted as such do they get chips: without one nobody is recognised.
        """
        if work.image is None or not work.tasks & FACE_TASKS:
            return []
        faces = work.faces
        tracks: Sequence[str | None] = [None] * len(faces)
        if work.event.frame.purpose is Purpose.SURVEILLANCE:
            tracks = self._tools.tracker.follow(work.event.frame, faces)
        chips: Sequence[FaceChip | Rejection | None] = [None] * len(faces)
        if "face" in work.tasks:
            chips = self._chips(work.image, faces)
        key = work.event.frame.frame_key
        notes = work.notes or [FaceNotes()] * len(faces)
        parts = enumerate(zip(faces, tracks, chips, notes, strict=True))
        return [
            replace(
                _with(chip, self._measure(work.image, face, note)),
                index=index,
                detection_id=detection_id(key, index),
                track_id=track,
            )
            for index, (face, track, chip, note) in parts
        ]

    def _measure(self, image: Picture, face: RawFace, note: FaceNotes) -> DetectedFace:
        """The face with its pose and quality, and nothing that depends on its place."""
        height, width = image.shape[:2]
        policy = self._policy.quality
        pose = note.pose or estimate_pose(face.landmarks)
        visible = visible_share(face.box, width=width, height=height)
        grey = self._tools.cutter.grey(image, face.box)
        quality = measure(grey, face, pose, policy, visible=visible)
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

    def _chips(self, image: Picture, faces: Sequence[RawFace]) -> list[FaceChip | Rejection]:
        """A chip of each face, as good as the budget allows; the smallest may go without."""
        windows = [chip_window(face.box) for face in faces]
        budget = self._policy.chip_budget
        chips: list[FaceChip] = []
        for grade in affordable_grades(windows, budget):
            chips = []
            for face, window in zip(faces, windows, strict=True):
                size = chip_size(window, grade)
                chips.append(
                    FaceChip(
                        image=self._tools.cutter.chip(
                            image, window, size=size, quality=grade.quality
                        ),
                        width=size,
                        height=size,
                        landmarks=into_chip(face.landmarks, window, size),
                    )
                )
            if within_budget([len(chip.image) for chip in chips], budget) == len(chips):
                return [*chips]
        sizes, limit = [len(chip.image) for chip in chips], self._policy.chip_limit
        kept = within_budget(sizes, limit)
        return [*chips[:kept], *([left_out(sizes, limit)] * (len(chips) - kept))]


def _with(chip: FaceChip | Rejection | None, face: DetectedFace) -> DetectedFace:
    """The face with its chip, or with why it has none."""
    if isinstance(chip, Rejection):
        return replace(face, rejections=(*face.rejections, chip))
    return replace(face, chip=chip)
