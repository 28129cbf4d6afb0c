"""What is measured beside its engine: a detector or an embedder on one of the engines at hand."""

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Protocol, TypeVar

from bench.bare_engines import Bare, Tensor
from bench.contenders import DETECTOR, LONG_SIDE, a_detector
from bench.material import Material
from bench.pathway import Seen, faces_of
from bench.rounds import Work
from detection.adapters.canvas import Canvas, letterbox
from detection.adapters.jpeg import OpenCvDecoder, decode_picture
from detection.domain.chip import GRADES
from detection.domain.face import Picture
from detection.ports import FaceDetector
from mesh.errors import ConfigurationError
from mesh.events import FaceChip
from mesh.models import ModelSpec, ModelStore
from recognition.adapters import network_embedder, pictures
from recognition.domain.alignment import TEMPLATES
from recognition.ports import FaceEmbedder

_BARE = ("onnxruntime", "openvino", "torch")
_SPREAD = 8
"""Every so many frames of the clip one is taken."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on an engine."""

    model: str
    engine: str
    works: Callable[[int], Mapping[str, Work]]
    """What to time for a batch of so many: `stage`, `bare`, and steps that are told apart."""
    holds: tuple[str, ...] = ()
    """Steps within the stage that are taken out of it."""
    device: str = "CPU"
    """Where it runs: CPU, GPU-0 and so on."""
    whole: str | None = None
    """From what to what it is measured, where nothing is taken out of it."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What goes in: pictures of the clip, encoded and decoded, and face chips of them."""

    encoded: Sequence[bytes]
    decoded: Sequence[Picture]
    chips: Sequence[FaceChip]


class Loads(Protocol):
    """Loads stages and engines on one device; all raise a ConfigurationError that says why not."""

    @property
    def device(self) -> str:
        """Where they run: CPU, GPU-0 and so on."""

    def detector(self, model: ModelSpec, engine: str) -> FaceDetector:
        """As the service loads it."""

    def embedder(self, model: ModelSpec, engine: str) -> FaceEmbedder:
        """As the service loads it."""

    def bare(self, model: ModelSpec, engine: str, item: Tensor) -> Bare:
        """The engine by itself, for items like this one."""


def subjects(
    loading: Loads,
    supply: Supply,
    skipped: MutableMapping[str, str],
    *,
    models: Iterable[ModelSpec],
    only: Collection[str] = (),
) -> Iterator[Subject]:
    """Every detector and embedder on every engine that can run it on the device.

    Args:
        loading: loads them on the device.
        supply: what goes in.
        skipped: takes the reasons of what is left out, by model and engine.
        models: of the registry.
        only: models by model_id; all if it is empty.
    """
    makers = {"face-detection": _detector, "face-recognition": _embedder}
    for model in models:
        if model.task not in makers or (only and model.model_id not in only):
            continue
        for engine in model.engines:
            name = f"{model.model_id} on {engine}"
            reason = _why_not(engine, loading.device)
            if reason:
                skipped[name] = reason
                continue
            try:
                yield makers[model.task](model, engine, loading, supply)
            except ConfigurationError as error:
                skipped[name] = str(error)


def _why_not(engine: str, device: str) -> str | None:
    if engine not in _BARE:
        return f"{engine} takes pictures as they are: there is no tensor to prepare"
    if device == "CPU" and engine == "torch":
        return "torch is for GPUs: --device GPU-0 measures it where there is one"
    if device != "CPU" and engine == "openvino":
        return f"openvino runs on the CPU here, not on {device}"
    return None


def gather(store: ModelStore, where: Material) -> Supply:
    """Pictures of the clip, and chips of the faces that the default detector finds there.

    Raises:
        ConfigurationError: the default detector cannot be loaded.
    """
    encoded = where.pictures()[::_SPREAD]
    decoded = [decode_picture(data) for data in encoded]
    finder = a_detector(DETECTOR, store)
    chips = [
        Seen(picture, face).chip(GRADES[0])
        for picture in decoded
        for face in faces_of(finder, picture)
    ]
    return Supply(encoded, decoded, chips)


def _detector(model: ModelSpec, engine: str, loading: Loads, supply: Supply) -> Subject:
    detector = loading.detector(model, engine)
    bare = loading.bare(model, engine, _letterboxed(model, supply.decoded[:1]))

    def works(batch: int) -> Mapping[str, Work]:
        images = _first(supply.decoded, batch)
        encoded = _first(supply.encoded, batch)
        ready = _letterboxed(model, images)
        return {
            "stage": lambda: detector.detect(images),
            "bare": lambda: bare(ready),
            "decode": lambda: OpenCvDecoder().decode(encoded),
        }

    return Subject(model.model_id, engine, works, device=loading.device)


def _letterboxed(model: ModelSpec, images: Sequence[Picture]) -> Tensor:
    if model.input is None:
        raise ConfigurationError(f"model {model.model_id} has no input of its own")
    boxes = [letterbox(image, model.input, LONG_SIDE) for image in images]
    return Canvas(model.input).lay(images, boxes)


def _embedder(model: ModelSpec, engine: str, loading: Loads, supply: Supply) -> Subject:
    embedder = loading.embedder(model, engine)
    bare = loading.bare(model, engine, _aligned(model, supply.chips[:1]))
    template = TEMPLATES[model.alignment or ""]
    stays = engine == "torch"  # chips are decoded and aligned on its device

    def works(batch: int) -> Mapping[str, Work]:
        chips = _first(supply.chips, batch)
        ready = _aligned(model, chips)
        both: dict[str, Work] = {
            "stage": lambda: embedder.embed(chips),
            "bare": lambda: bare(ready),
        }
        if stays:
            return both
        return both | {
            "decode": lambda: [pictures.decode(chip) for chip in chips],
            "decode and align": lambda: pictures.aligned(chips, template),
        }

    return Subject(
        model.model_id,
        engine,
        works,
        holds=() if stays else ("decode and align",),
        device=loading.device,
        whole="chips to embeddings" if stays else None,
    )


def _aligned(model: ModelSpec, chips: Sequence[FaceChip]) -> Tensor:
    if model.input is None:
        raise ConfigurationError(f"model {model.model_id} has no input of its own")
    faces, _ = pictures.aligned(chips, TEMPLATES[model.alignment or ""])
    return network_embedder.tensor(faces, model.input)


def _first(items: Sequence[T], count: int) -> list[T]:
    return list(islice(cycle(items), count))
