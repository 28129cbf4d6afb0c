"""The second step: the engines look for faces and objects in all pictures of a batch."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from detection.domain.coco import classes_of
from detection.domain.report import failed
from detection.domain.wishes import FACE_TASKS, FACES, OBJECTS
from detection.ports import InferenceMeter, Metered, ModelInfo, ObjectDetector
from detection.stage.work import FrameWork, Tools
from inference.chain import ChainTimeoutError
from inference.engine import EngineError
from mesh.events import ModelUse

Search = Callable[[Sequence[FrameWork]], None]
"""Runs an engine on the pictures of frames, and tells each frame what was found."""


class Searcher:
    """Runs each engine once per batch, or on each picture alone where it fails."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def search(self, works: Sequence[FrameWork]) -> None:
        """Fill in the faces and objects of the frames that have a picture, in its pixels.

        A frame that an engine refuses even alone ends as `failed(engine_error)`, one that no engine
        answered in time as `failed(model_timeout)`.
        """
        by_side: dict[int | None, list[FrameWork]] = defaultdict(list)
        for work in works:
            if work.image is not None and work.tasks & FACE_TASKS:
                by_side[work.event.detection.long_side].append(work)
        for members in by_side.values():
            self._attempt(self._find_faces, members, self._tools.meter)
        objects = self._tools.further.objects
        wanted = [work for work in works if work.image is not None and classes_of(work.tasks)]
        if objects and wanted:
            self._attempt(partial(self._find_objects, objects), wanted, objects.meter)

    @staticmethod
    def _attempt(run: Search, works: Sequence[FrameWork], meter: InferenceMeter) -> None:
        if len(works) > 1:
            with suppress(EngineError):
                run(works)
                return
        for work in works:
            _alone(run, work, meter)

    def _find_faces(self, works: Sequence[FrameWork]) -> None:
        clock, detector = self._tools.clock, self._tools.detector
        started = clock.monotonic()
        found = detector.detect(
            [work.searched for work in works if work.searched is not None],
            long_side=works[0].event.detection.long_side,
        )
        seconds = clock.monotonic() - started
        self._tools.meter.worked(len(works), seconds)
        use = model_use(FACES, detector.info, seconds / len(works))
        for work, faces in zip(works, found, strict=True):
            scale = work.scale
            work.faces = faces if scale is None else [scale.face(face) for face in faces]
            work.models.append(use)

    def _find_objects(self, further: Metered[ObjectDetector], works: Sequence[FrameWork]) -> None:
        started = self._tools.clock.monotonic()
        found = further.model.detect([work.searched for work in works if work.searched is not None])
        seconds = self._tools.clock.monotonic() - started
        further.meter.worked(len(works), seconds)
        use = model_use(OBJECTS, further.model.info, seconds / len(works))
        for work, objects in zip(works, found, strict=True):
            scale = work.scale
            work.objects = objects if scale is None else [scale.thing(one) for one in objects]
            work.models.append(use)


def _alone(run: Search, work: FrameWork, meter: InferenceMeter) -> None:
    try:
        run([work])
    except EngineError as error:
        meter.failed()
        hung = isinstance(error, ChainTimeoutError)
        work.end(failed("model_timeout" if hung else "engine_error"))


def model_use(task: str, info: ModelInfo, seconds: float) -> ModelUse:
    """A model's part in a frame.

    Args:
        task: what it was used for.
        info: the model.
        seconds: that it took for this frame.
    """
    return ModelUse(
        task=task,
        model_id=info.model_id,
        name=info.name,
        version=info.version,
        device=info.device,
        engine=info.engine,
        latency_ms=1000.0 * seconds,
        fallback_used=info.fallback_used,
    )
