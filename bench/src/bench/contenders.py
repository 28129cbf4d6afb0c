"""The models that can be measured here: files at hand, loaded as the services load them."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from bench.material import model_registry
from detection.adapters.engines import load_detector
from detection.ports import FaceDetector
from inference.choice import AUTO
from inference.engine import EngineOptions
from inference.opening import open_engine
from inference.running import Running
from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, ModelSpec, ModelStore, Pack
from recognition.adapters.model_pack import load_embedder
from recognition.adapters.network_embedder import NetworkEmbedder, sample
from recognition.domain.alignment import TEMPLATES
from recognition.domain.calibration import CALIBRATIONS, calibration_of
from recognition.ports import EmbedderInfo, FaceEmbedder

DEFAULT_PACK = "yunet-omz"
DEFAULT = "omz-face-reid-0095"
"""The embedder of the default pack."""
DETECTOR = "yunet-2023mar"
"""The detector of the default pack."""

FUSED = (DEFAULT, "mobilefacenet-ms1m")
"""Two small embedders whose cosines are averaged."""

LONG_SIDE = 640
PLAIN = EngineOptions()
"""One thread of the CPU, one item at a time."""
_SLOW: Mapping[str, int] = MappingProxyType({"dlib-resnet-v1": 120})
"""Pairs that a model is given at most: dlib takes a tenth of a second a face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """An embedder behind a detector."""

    model_id: str
    detector: FaceDetector
    embedder: FaceEmbedder
    threshold: float | None
    """Least cosine at which recognition gives a name, however few persons are enrolled."""
    finds_points: bool = False
    """It aligns by landmarks of its own instead of the detector's."""
    limit: int | None = None
    """Pairs that it is given at most."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who is measured, and who is not and why."""

    contenders: tuple[Contender, ...]
    absent: Mapping[str, str]


def lineup(store: ModelStore, threads: int, *, only: Collection[str] = ()) -> Lineup:
    """Every embedder of the registry whose files are at hand, behind a detector.

    Args:
        store: that has the files.
        threads: of an engine.
        only: embedders by their model_id; all if it is empty.
    """
    registry, options = model_registry(), EngineOptions(threads=threads)
    found: list[Contender] = []
    absent: dict[str, str] = {}
    detectors: dict[str, FaceDetector] = {}
    for model in registry.models.values():
        if model.task != "face-recognition" or (only and model.model_id not in only):
            continue
        try:
            found.append(_contender(registry, model, store, options, detectors))
        except ConfigurationError as error:
            absent[model.model_id] = str(error)
    return Lineup(tuple(found), absent)


def detectors_at_hand(store: ModelStore, threads: int) -> dict[str, FaceDetector]:
    """Every face detector of the registry whose files are at hand, by model_id."""
    found, options = {}, EngineOptions(threads=threads)
    for model in model_registry().models.values():
        if model.task == "face-detection":
            with suppress(ConfigurationError):
                found[model.model_id] = a_detector(model.model_id, store, options)
    return found


def a_detector(
    model_id: str,
    store: ModelStore,
    options: EngineOptions = PLAIN,
    *,
    engine: str = AUTO,
) -> FaceDetector:
    """A detector of the registry as the service loads it.

    Args:
        model_id: its model.
        store: that has the files.
        options: device, threads of a run, pictures of a call.
        engine: that is to run it; the fastest if it is `auto`.

    Raises:
        ConfigurationError: a file is missing or altered, or no engine can run it.
    """
    models = model_registry().models
    pack = Pack("bench", detector=models[model_id], embedder=models[DEFAULT])
    return load_detector(
        pack,
        store,
        long_side=LONG_SIDE,
        threads=options.threads,
        max_batch=options.max_batch,
        running=Running(wanted=engine, device=options.device),
    )


def an_embedder(
    model_id: str,
    store: ModelStore,
    options: EngineOptions = PLAIN,
    *,
    engine: str = AUTO,
) -> FaceEmbedder:
    """An embedder of the registry as the service loads it; arguments as of `a_detector`.

    Raises:
        ConfigurationError: a file is missing or altered, or no engine can run it.
    """
    registry = model_registry()
    model = registry.models[model_id]
    if model.input is None:  # the engine takes pictures as they are, and comes with a pack
        packs = (pack for pack in registry.packs.values() if pack.embedder is model)
        return load_embedder(next(packs), store, threads=options.threads)
    template = TEMPLATES[model.alignment or ""]
    runner, _ = open_engine(
        model,
        store.locate(model),
        sample(template, model.input),
        options=options,
        wanted=engine,
    )
    info = EmbedderInfo(
        model_id=model_id,
        name=model.name,
        version=model.version,
        licence=model.licence,
        sha256=model.files[-1].sha256,
        pack="bench",
        aliases=model.aliases,
        device=runner.info.device,
        engine=runner.info.engine,
        dim=model.embedding_size or 0,
    )
    return NetworkEmbedder(runner, info=info, template=template, shape=model.input)


def _contender(
    registry: ModelRegistry,
    model: ModelSpec,
    store: ModelStore,
    options: EngineOptions,
    detectors: dict[str, FaceDetector],
) -> Contender:
    """Embedders that no pack has are shown what the default detector finds."""
    embedder = an_embedder(model.model_id, store, options)
    packs = [pack for pack in registry.packs.values() if pack.embedder is model]
    detector = packs[0].detector.model_id if packs else DETECTOR
    if detector not in detectors:
        detectors[detector] = a_detector(detector, store, options)
    return Contender(
        model_id=model.model_id,
        detector=detectors[detector],
        embedder=embedder,
        threshold=applied_threshold(model),
        finds_points=model.input is None,
        limit=_SLOW.get(model.model_id),
    )


def applied_threshold(model: ModelSpec) -> float | None:
    """What recognition demands of a pair with this model; none where it refuses the model."""
    known = CALIBRATIONS.get(model.model_id)
    if known is not None:
        return known.floor
    with suppress(ValueError):
        return calibration_of(model.thresholds).floor
    return None
