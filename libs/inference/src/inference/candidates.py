"""The engines that may run a model on a device."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from inference.batching import BucketedEngine
from inference.choice import Candidate
from inference.engine import Engine, EngineOptions
from mesh.errors import ConfigurationError

ENGINES = ("onnxruntime", "openvino", "torch")
"""Engines of this library; a model may name others (dlib), which run it by themselves."""


REFERENCE = "onnxruntime"
"""Runs in f32 on every CPU."""


def candidates(
    engines: Sequence[str],
    files: Mapping[str, Path],
    options: EngineOptions,
    sides: Sequence[int] = (),
) -> list[Candidate]:
    """The engines that may run a model on the device, the reference first.

    Args:
        engines: of the model, by its preference.
        files: its verified files by name.
        options: device, precision, threads, streams.
        sides: the shape of one item, where the engine should know.

    The reference is onnxruntime in f32 where it can run the model, else the model's first engine.
    On another device than the CPU it runs on the CPU and may not be chosen: an explicit device is
    never exchanged for another in silence.
    """
    named = sorted(
        (name for name in engines if name in ENGINES), key=lambda name: name != REFERENCE
    )
    found = [
        Candidate(name=name, open=partial(_open, name, files, options, sides))
        for name in named
        if offers(name, options.device)
    ]
    if options.device != "CPU" and named:
        plain = EngineOptions(threads=options.threads)
        reference = Candidate(
            name=named[0], open=partial(_open, named[0], files, plain, sides), eligible=False
        )
        found.insert(0, reference)
    return found


def offers(name: str, device: str) -> bool:
    """Whether an engine is for a device at all."""
    kind = device.partition("-")[0]
    return {
        "onnxruntime": True,
        "openvino": kind == "CPU",
        "torch": kind == "GPU",
    }[name]


# Each engine is imported only where it is used: they are extras, and take 50 to 500 MB.


def _open(
    name: str, files: Mapping[str, Path], options: EngineOptions, sides: Sequence[int]
) -> Engine:
    builders = {"onnxruntime": _onnxruntime, "openvino": _openvino, "torch": _torch}
    try:
        return builders[name](files, options, sides)
    except ImportError as error:
        raise ConfigurationError(f"{name} is not installed: {error}") from error


def _onnxruntime(files: Mapping[str, Path], options: EngineOptions, _: Sequence[int]) -> Engine:
    from inference.onnx_engine import OnnxEngine  # noqa: PLC0415 -- see above

    engine = OnnxEngine(_one(files, ".onnx"), options)
    # A GPU tunes itself to every new batch size, which takes far longer than padding.
    return engine if options.device == "CPU" else BucketedEngine(engine)


def _openvino(files: Mapping[str, Path], options: EngineOptions, sides: Sequence[int]) -> Engine:
    from inference.openvino_engine import OpenVinoEngine  # noqa: PLC0415 -- see above

    if any(Path(name).suffix == ".xml" for name in files):
        network, weights = _one(files, ".xml"), _one(files, ".bin")
        return OpenVinoEngine(network, options, weights=weights, sides=sides)
    return OpenVinoEngine(_one(files, ".onnx"), options, sides=sides)


def _torch(files: Mapping[str, Path], options: EngineOptions, sides: Sequence[int]) -> Engine:
    from inference.torch_engine import TorchEngine  # noqa: PLC0415 -- see above

    return TorchEngine(_one(files, ".onnx"), options, sides=sides)


def _one(files: Mapping[str, Path], suffix: str) -> Path:
    for name, path in files.items():
        if Path(name).suffix == suffix:
            return path
    raise ConfigurationError(f"the engine needs a {suffix} file, there is only {', '.join(files)}")
