"""Between search and report: what further models say of the faces of frames that ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from detection.domain.face import EyeState
from detection.domain.face_mesh import FaceMesh, attributes_of
from detection.domain.wishes import AGES, EYES, LANDMARKS, LIVENESS, POSE
from detection.ports import EngineError, FaceModel, FaceView, Metered
from detection.stage.searching import model_use
from detection.stage.work import FaceNotes, FrameWork, Tools
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
    """Asks each further model once per frame; faces that a model fails on go without it."""

    def __init__(self, tools: Tools) -> None:
        self._clock = tools.clock
        self._further = tools.further

    def read(self, works: Sequence[FrameWork]) -> None:
        """Note what is said of the faces of each frame that asks; others cost nothing."""
        for work in works:
            if work.faces and not work.tasks.isdisjoint(_TASKS):
                work.notes = [_notes(said) for said in self._say(work)]

    def _say(self, work: FrameWork) -> list[_Said]:
        further = self._further
        drowsy, alive, aged = (task in work.tasks for task in _TASKS)
        columns = (
            self._ask(further.meshes if drowsy else None, LANDMARKS, work),
            self._ask(further.eyes if drowsy else None, EYES, work),
            self._ask(further.poses if drowsy else None, POSE, work),
            self._ask(further.liveness if alive else None, LIVENESS, work),
            self._ask(further.ages if aged else None, AGES, work),
        )
        return [_Said(*said) for said in zip(*columns, strict=True)]

    def _ask(
        self, asked: Metered[FaceModel[Reading]] | None, task: str, work: FrameWork
    ) -> Sequence[Reading | None]:
        """What a model says of each face of a frame; nothing if it is not loaded or fails."""
        nothing = [None] * len(work.faces)
        if asked is None or work.image is None:
            return nothing
        views = [FaceView(work.image, face) for face in work.faces]
        started = self._clock.monotonic()
        try:
            readings = asked.model.read(views)
        except EngineError:
            asked.meter.failed()
            return nothing
        seconds = self._clock.monotonic() - started
        asked.meter.worked(len(views), seconds)
        work.models.append(model_use(task, asked.model.info, seconds))
        return readings


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
