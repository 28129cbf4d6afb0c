"""Between search and report: what further models say of the faces of frames that ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from detection.domain.face import EyeState
from detection.domain.face_mesh import FaceMesh, attributes_of
from detection.domain.wishes import AGES, EYES, LANDMARKS, LIVENESS, POSE
from detection.ports import FaceModel, FaceView, Metered
from detection.stage.searching import model_use
from detection.stage.work import FaceNotes, FrameWork, Tools
from inference.engine import EngineError
from mesh.events import AgeGender, FaceAttributes, Liveness, Pose

Reading = TypeVar("Reading")
_TASKS = ("drowsiness", "liveness", "age_gender")


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said of a face."""

    mesh: FaceMesh | None
    eyes: EyeState | None
    pose: Pose | None
    liveness: Liveness | None
    age_gender: AgeGender | None


class AttributeReader:
    """Asks each further model once per batch, about the faces of all frames that ask for it.

    Frames that a model fails on even alone go without it.
    """

    def __init__(self, tools: Tools) -> None:
        self._clock = tools.clock
        self._further = tools.further

    def read(self, works: Sequence[FrameWork]) -> None:
        """Note what is said of the faces of each frame that asks; others cost nothing."""
        asking = [work for work in works if work.faces and not work.tasks.isdisjoint(_TASKS)]
        further = self._further
        columns = (
            self._ask(further.meshes, LANDMARKS, "drowsiness", asking),
            self._ask(further.eyes, EYES, "drowsiness", asking),
            self._ask(further.poses, POSE, "drowsiness", asking),
            self._ask(further.liveness, LIVENESS, "liveness", asking),
            self._ask(further.ages, AGES, "age_gender", asking),
        )
        for work, *said in zip(asking, *columns, strict=True):
            work.notes = [_notes(_Said(*one)) for one in zip(*said, strict=True)]

    def _ask(
        self,
        asked: Metered[FaceModel[Reading]] | None,
        task: str,
        wish: str,
        works: Sequence[FrameWork],
    ) -> list[Sequence[Reading | None]]:
        """By frame what a model says of each face; nothing where nobody asks, or it fails."""
        said: list[Sequence[Reading | None]] = [[None] * len(work.faces) for work in works]
        places = [index for index, work in enumerate(works) if wish in work.tasks]
        if asked is not None and places:
            readings = self._read(asked, task, [works[index] for index in places])
            for index, reading in zip(places, readings, strict=True):
                said[index] = reading
        return said

    def _read(
        self, asked: Metered[FaceModel[Reading]], task: str, works: Sequence[FrameWork]
    ) -> list[Sequence[Reading | None]]:
        """What the model says of the faces of these frames, together or else frame by frame."""
        views = [
            FaceView(work.image, face)
            for work in works
            if work.image is not None
            for face in work.faces
        ]
        started = self._clock.monotonic()
        try:
            readings = iter(asked.model.read(views))
        except EngineError:
            if len(works) > 1:
                return [said for work in works for said in self._read(asked, task, [work])]
            asked.meter.failed()
            return [[None] * len(work.faces) for work in works]
        seconds = (self._clock.monotonic() - started) / len(views)
        asked.meter.worked(len(views), seconds * len(views))
        for work in works:
            use = model_use(task, asked.model.info, seconds * len(work.faces))
            work.models.append(use)
        return [list(islice(readings, len(work.faces))) for work in works]


def _notes(said: _Said) -> FaceNotes:
    known = FaceAttributes() if said.mesh is None else attributes_of(said.mesh)
    attributes = replace(
        known,
        left_eye_open=said.eyes.left_open if said.eyes else None,
        right_eye_open=said.eyes.right_open if said.eyes else None,
        liveness=said.liveness,
        age_gender=said.age_gender,
    )
    return FaceNotes(attributes=attributes, pose=said.pose)
