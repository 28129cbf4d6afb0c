"""Models beyond face detection: those of the pack that are at hand and serve a wanted task."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from detection.adapters import face_networks, object_detector
from detection.adapters.chained import ChainedFaceModel, ChainedObjectDetector, Places
from detection.adapters.face_networks import Network
from detection.adapters.further_engines import FurtherEngines
from detection.adapters.object_detector import YoloDetector
from detection.domain.wishes import AGES, EYES, LANDMARKS, LIVENESS, OBJECTS, POSE
from detection.ports import FurtherModels, Metered, ModelInfo, Tracker
from inference.chain import Chain
from inference.engine import EngineError, EngineInfo, EngineOptions
from inference.suiting import devices_for
from mesh.clock import SystemClock
from mesh.errors import ConfigurationError
from mesh.model_status import ModelMeter
from mesh.models import MissingFileError, ModelSpec, ModelStore, Pack
from mesh.tasks import FACE, HELPS, NEEDS

Files = Mapping[str, Path]
"""The verified files of a model by name."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that runs, the task of models that it is for, and its meter."""

    task: str
    model: Any
    """What the port of the task says."""
    meter: ModelMeter
    infos: Sequence[ModelInfo]
    """What is known of each network that is read for it; the first one's meter is the model's."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The models of a task that are to be loaded."""

    task: str
    found: tuple[tuple[ModelSpec, Files], ...]
    """Each with its files; several are read together."""
    pack: str
    threads: int
    engines: FurtherEngines


def equip(loaded: Sequence[Loaded], persons: Tracker) -> FurtherModels:
    """The models by what the stage calls them.

    Args:
        loaded: at most one of each task.
        persons: follows persons, apart from faces.
    """
    by_task = {item.task: Metered(item.model, item.meter) for item in loaded}
    return FurtherModels(
        objects=by_task.get(OBJECTS),
        liveness=by_task.get(LIVENESS),
        meshes=by_task.get(LANDMARKS),
        eyes=by_task.get(EYES),
        poses=by_task.get(POSE),
        ages=by_task.get(AGES),
        persons=persons,
    )


def load_further(
    pack: Pack,
    store: ModelStore,
    *,
    tasks: Collection[str],
    places: Places | None = None,
) -> list[Loaded]:
    """The pack's optional models that serve one of the tasks; absent files are no error.

    Args:
        pack: from the model registry.
        store: where files lie.
        tasks: of cameras, that the operator allows.
        places: one thread on the CPU by default.

    Raises:
        ConfigurationError: a file is altered, or an engine cannot run it.
    """
    wanted = {
        model for task in tasks if task != FACE for model in (*NEEDS[task], *HELPS.get(task, ()))
    }
    loaded, where = [], places or Places()
    for task in sorted(wanted):
        found = [
            (model, files)
            for model in pack.for_task(task)
            for files in [_files(model, store)]
            if files is not None
        ]
        if found:
            asked = _Asked(task, tuple(found), pack.name, where.threads, where.engines)
            loaded.append(_load(asked, where))
    return loaded


def _files(model: ModelSpec, store: ModelStore) -> Files | None:
    """The files of a model, or none where they are not at hand; altered ones are an error."""
    try:
        return store.locate(model)
    except MissingFileError:
        return None


def _load(asked: _Asked, places: Places) -> Loaded:
    """The models of a task behind a chain of devices; a chain of one costs nothing."""
    model_id = "+".join(model.model_id for model, _ in asked.found)
    devices = devices_for(places.devices, *(model for model, _ in asked.found))
    chain: Chain[Any] = places.chain(asked.task, model_id, partial(_build, asked), devices=devices)
    runs = (ChainedObjectDetector if asked.task == OBJECTS else ChainedFaceModel[Any])(
        chain, places.prefer
    )
    meter = ModelMeter(SystemClock())
    meter.follow(runs.state)
    runs.warm_up()
    meter.loaded()
    serves = runs.serving()
    engine = EngineInfo(
        engine=serves.engine, device=serves.device, precision=serves.precision or "f32"
    )
    infos = [_info(model, files, asked.pack, engine) for model, files in asked.found]
    return Loaded(asked.task, runs, meter, infos)


def _build(asked: _Asked, device: str) -> Any:
    """What runs the models of a task on a device."""
    if asked.task == LANDMARKS:
        return _landmarker(asked)
    at_once = object_detector.AT_ONCE if asked.task == OBJECTS else face_networks.AT_ONCE
    options = EngineOptions(device=device, threads=asked.threads, max_batch=at_once)
    networks = [asked.engines.network(model, files, options) for model, files in asked.found]
    info = _together(
        [
            _info(model, files, asked.pack, network.engine.info)
            for (model, files), network in zip(asked.found, networks, strict=True)
        ]
    )
    if asked.task == OBJECTS:
        decoder = asked.found[0][0].decoder
        shape = networks[0].shape
        return YoloDetector(networks[0].engine, info=info, shape=shape, decoder=decoder)
    try:
        return _BUILDERS[asked.task](networks, info)
    except (EngineError, KeyError, ValueError) as error:
        raise ConfigurationError(f"model {info.model_id}: {error}") from error


def _landmarker(asked: _Asked) -> Any:
    from detection.adapters.face_landmarker import (  # noqa: PLC0415 -- brings its runtime
        ENGINE,
        FaceLandmarker,
    )

    model, files = asked.found[0]
    info = _info(model, files, asked.pack, ENGINE)
    return FaceLandmarker(next(iter(files.values())), info=info, threads=asked.threads)


_BUILDERS: Mapping[str, Callable[[Sequence[Network], ModelInfo], Any]] = {
    LIVENESS: face_networks.liveness,
    EYES: face_networks.eye_state,
    POSE: face_networks.head_pose,
    AGES: face_networks.age_gender,
}


def _info(model: ModelSpec, files: Files, pack: str, engine: EngineInfo) -> ModelInfo:
    return ModelInfo(
        model_id=model.model_id,
        name=model.name,
        version=model.version,
        licence=model.licence,
        sha256=model.files[0].sha256,
        pack=pack,
        device=engine.device,
        engine=engine.engine,
        aliases=model.aliases,
        path=str(next(iter(files.values()))),
        precision=engine.precision,
    )


def _together(infos: Sequence[ModelInfo]) -> ModelInfo:
    """Networks that are read together, as one model."""
    return replace(
        infos[0],
        model_id="+".join(info.model_id for info in infos),
        name=" and ".join(info.name for info in infos),
    )
