"""What is known of a model before it is loaded: files, licence, input, thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Triple = tuple[float, float, float]

TASKS = (
    "face-detection",
    "face-recognition",
    "object-detection",
    "face-landmarks",
    "eye-state",
    "head-pose",
    "liveness",
    "age-gender",
)
"""What a model can be for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model; its SHA-256 is its identity."""

    name: str
    """File name, or folder and file name (`buffalo_l/det_10g.onnx`)."""
    bytes: int = 0
    """Size, bytes; 0 where the user supplies the file and nobody pinned it."""
    sha256: str = ""
    """Empty: the user supplies the file, and its hash is pinned at the first use."""
    repository: str | None = None
    """Public repository that it is pinned in, with commit and path."""
    commit: str | None = None
    path: str | None = None
    origin: str | None = None
    """Template of its address where that is not the store's; fields as in `ORIGIN`."""
    package: str | None = None
    """Python package that ships it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """How a picture becomes a model's input: `(pixel - mean) / scale` per channel, as float32."""

    width: int
    """Pixels; 0 takes any."""
    height: int
    """Pixels; 0 takes any."""
    multiple: int = 1
    """A free width and height must be multiples of this, pixels."""
    colour: str = "BGR"
    """Order of the channels: BGR or RGB; `mean` and `scale` are in the same order."""
    mean: Triple = (0.0, 0.0, 0.0)
    """Subtracted from pixels of 0 to 255."""
    scale: Triple = (1.0, 1.0, 1.0)
    """Divided by, after the mean was subtracted."""
    layout: str = "NCHW"
    """Order of the axes: NCHW or NHWC."""
    batch: int = 0
    """Pictures per call that the file is exported for; 0 takes any."""
    crop: float = 1.0
    """Side of the cut around a face in sides of its box, for models of single faces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What somebody measured of a model, shares of 1."""

    origin: str
    """On what, and how, in words."""
    lfw: float | None = None
    """Pairs of Labeled Faces in the Wild told right."""
    map: float | None = None
    """Mean average precision of a detector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What is known of a model before it is loaded."""

    model_id: str
    task: str
    """One of `TASKS`."""
    name: str
    version: str
    engine: str
    """The first of `engines`."""
    licence: str
    commercial: bool
    """Whether the licence allows commercial use."""
    files: tuple[ModelFile, ...]
    embedding_size: int | None = None
    aliases: tuple[str, ...] = ()
    """Names of the specification that mean this model."""
    engines: tuple[str, ...] = ()
    """Runtimes that can run it, the preferred one first; only `engine` where none are given."""
    input: InputSpec | None = None
    """None where the engine takes pictures as they are (dlib)."""
    alignment: str | None = None
    """Name of the template that faces are aligned to, for a face-recognition model."""
    thresholds: Mapping[float, float] = field(default_factory=dict)
    """Cosine similarity to reach by false-match rate of a 1:1 comparison."""
    decoder: str | None = None
    """Family that the outputs belong to: yunet, scrfd, yolox, yolov8, …"""
    accuracy: Accuracy | None = None
    """None where nobody measured it."""
    min_face_size: int | None = None
    """Shorter side of the smallest face that a detector is known to find, pixels."""
    accept: str | None = None
    """Name to be found in SIGHTLINE_ACCEPT_LICENCES before the model is used; none if free."""

    def __post_init__(self) -> None:
        if not self.engines:
            object.__setattr__(self, "engines", (self.engine,))

    @property
    def bytes(self) -> int:
        """Size of all files, as far as it is pinned."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and an embedder that are used together, and models for further tasks."""

    name: str
    detector: ModelSpec
    embedder: ModelSpec
    optional: tuple[ModelSpec, ...] = ()
    """Used where their files are at hand; may be absent."""
    automatic: bool = True
    """Whether it may be chosen for who names no pack."""

    @property
    def models(self) -> tuple[ModelSpec, ModelSpec]:
        """The two that the pack cannot do without."""
        return self.detector, self.embedder

    def for_task(self, task: str) -> tuple[ModelSpec, ...]:
        """The models of one of `TASKS`, needed and optional; several are used together."""
        return tuple(model for model in (*self.models, *self.optional) if model.task == task)
