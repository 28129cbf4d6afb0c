"""What is measured beside its engine: a detector or an embedder on one of the engines at hand."""

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TypeVar

from bench.bare_engines import Bare, Tensor, bare_engine
from bench.contenders import DETECTOR, LONG_SIDE, a_detector, an_embedder
from bench.material import Material, model_registry
from bench.pathway import Seen, faces_of
from bench.rounds import Work
from detection.adapters.canvas import Canvas, letterbox
from detection.adapters.jpeg import OpenCvDecoder
from detection.domain.chip import GRADES
from detection.domain.face import Picture
from mesh.errors import ConfigurationError
from mesh.events import FaceChip
from mesh.models import ModelSpec, ModelStore
from recognition.adapters import network_embedder, pictures
from recognition.domain.alignment import TEMPLATES

_BARE = ("onnxruntime", "openvino")
_LARGEST = 32
_SPREAD = 8
"""Every so many frames of the clip one is taken."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on an engine."""

    model: str
    engine: str
    works: Callable[[int], Mapping[str, Work]]
    """What to time for a batch of so many: `stage`, `bare`, `decode`, and what belongs to it."""
    holds: tuple[str, ...] = ()
    """Steps within the stage that are taken out of it."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What goes in: pictures of the clip, encoded and decoded, and face chips of them."""

    encoded: Sequence[bytes]
    decoded: Sequence[Picture]
    chips: Sequence[FaceChip]


def subjects(
    store: ModelStore,
    where: Material,
    skipped: MutableMapping[str, str],
    *,
    threads: int,
    only: Collection[str] = (),
) -> Iterator[Subject]:
    """Every detector and embedder of the registry on every engine that can run it here.

    Args:
        store: that has the files.
        where: that has the clip.
        skipped: takes the reasons of what is left out, by model and engine.
        threads: of an engine.
        only: models by model_id; all if it is empty.
    """
    makers = {"face-detection": _detector, "face-recognition": _embedder}
    supply = _supply(store, where)
    for model in model_registry().models.values():
        if model.task not in makers or (only and model.model_id not in only):
            continue
        for engine in model.engines:
            name = f"{model.model_id} on {engine}"
            if engine not in _BARE:
                skipped[name] = _why_not(engine)
                continue
            try:
                yield makers[model.task](model, engine, store, supply, threads)
            except ConfigurationError as error:
                skipped[name] = str(error)


def _why_not(engine: str) -> str:
    if engine == "torch":
        return "torch is for GPUs, and none is measured here"
    return f"{engine} takes pictures as they are: there is no tensor to prepare"


def _supply(store: ModelStore, where: Material) -> Supply:
    encoded = where.pictures()[::_SPREAD]
    decoded = [OpenCvDecoder().decode(data) for data in encoded]
    finder = a_detector(DETECTOR, store, threads=1)
    chips = [
        Seen(picture, face).chip(GRADES[0])
        for picture in decoded
        for face in faces_of(finder, picture)
    ]
    return Supply(encoded, decoded, chips)


def _detector(
    model: ModelSpec, engine: str, store: ModelStore, supply: Supply, threads: int
) -> Subject:
    detector = a_detector(model.model_id, store, threads=threads, engine=engine, max_batch=_LARGEST)
    bare = _bare(model, engine, store, threads)

    def works(batch: int) -> Mapping[str, Work]:
        images = _first(supply.decoded, batch)
        encoded = _first(supply.encoded, batch)
        ready = _letterboxed(model, images)
        return {
            "stage": lambda: detector.detect(images),
            "bare": lambda: bare(ready),
            "decode": lambda: [OpenCvDecoder().decode(data) for data in encoded],
        }

    return Subject(model.model_id, engine, works)


def _letterboxed(model: ModelSpec, images: Sequence[Picture]) -> Tensor:
    if model.input is None:
        raise ConfigurationError(f"model {model.model_id} has no input of its own")
    boxes = [letterbox(image, model.input, LONG_SIDE) for image in images]
    return Canvas(model.input).lay(images, boxes)


def _embedder(
    model: ModelSpec, engine: str, store: ModelStore, supply: Supply, threads: int
) -> Subject:
    embedder = an_embedder(
        model.model_id, store, threads=threads, engine=engine, max_batch=_LARGEST
    )
    bare = _bare(model, engine, store, threads)
    template = TEMPLATES[model.alignment or ""]

    def works(batch: int) -> Mapping[str, Work]:
        chips = _first(supply.chips, batch)
        ready = _aligned(model, chips)
        return {
            "stage": lambda: embedder.embed(chips),
            "bare": lambda: bare(ready),
            "decode": lambda: [pictures.decode(chip) for chip in chips],
            "decode and align": lambda: pictures.aligned(chips, template),
        }

    return Subject(model.model_id, engine, works, holds=("decode and align",))


def _aligned(model: ModelSpec, chips: Sequence[FaceChip]) -> Tensor:
    if model.input is None:
        raise ConfigurationError(f"model {model.model_id} has no input of its own")
    faces, _ = pictures.aligned(chips, TEMPLATES[model.alignment or ""])
    return network_embedder.tensor(faces, model.input)


def _bare(model: ModelSpec, engine: str, store: ModelStore, threads: int) -> Bare:
    files = list(store.locate(model).values())
    network = next(path for path in files if path.suffix in {".onnx", ".xml"})
    weights = next((path for path in files if path.suffix == ".bin"), None)
    return bare_engine(engine, network, weights, threads=threads)


def _first(items: Sequence[T], count: int) -> list[T]:
    return list(islice(cycle(items), count))
