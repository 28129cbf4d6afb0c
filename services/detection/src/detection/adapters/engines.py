"""From a model of the registry to a detector that runs it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from detection.ports import FaceDetector, ModelInfo
from inference.engine import DeviceEngine, EngineOptions
from inference.running import Running
from mesh.errors import ConfigurationError
from mesh.models import InputSpec, ModelSpec, ModelStore, Pack

ON_DEVICE = frozenset({"yunet", "scrfd"})
"""Families whose outputs are read on the device where torch runs them."""


def load_detector(
    pack: Pack,
    store: ModelStore,
    *,
    long_side: int,
    threads: int,
    max_batch: int,
    running: Running | None = None,
) -> FaceDetector:
    """The pack's detector; imports only the engines that it may need.

    Args:
        pack: from the model registry.
        store: where its files lie.
        long_side: pictures are scaled down to this, pixels.
        threads: that one run may use, where the engine has several.
        max_batch: pictures per call that the caller means to send.
        running: where and by what; the fastest on the CPU by default.

    Raises:
        ConfigurationError: a file is missing or altered, or no engine can run it.
    """
    model = store.pinned(pack.detector)
    files = store.locate(model)
    how = running or Running()
    if model.engine == "dlib":
        return _dlib(files, _info(model, pack.name, max_batch), long_side)
    options = how.options(threads=threads, max_batch=max_batch)
    return _network(model, pack.name, files, options, how=how, long_side=long_side)


def _info(
    model: ModelSpec, pack: str, max_batch: int, *, engine: str = "dlib", device: str = "CPU"
) -> ModelInfo:
    return ModelInfo(
        model_id=model.model_id,
        name=model.name,
        version=model.version,
        licence=model.licence,
        sha256=model.files[0].sha256,
        pack=pack,
        device=device,
        engine=engine,
        aliases=model.aliases,
        max_batch=max_batch,
    )


def _dlib(files: Mapping[str, Path], info: ModelInfo, long_side: int) -> FaceDetector:
    try:
        from detection.adapters.dlib_detector import DlibDetector  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigurationError("pack dlib needs the extra detection[dlib]") from error
    return DlibDetector(next(iter(files.values())), info=info, long_side=long_side)


def _network(
    model: ModelSpec,
    pack: str,
    files: Mapping[str, Path],
    options: EngineOptions,
    *,
    how: Running,
    long_side: int,
) -> FaceDetector:
    from detection.adapters.network_detector import (  # noqa: PLC0415 -- dlib needs none of it
        FAMILIES,
        NetworkDetector,
        sample,
    )
    from inference.opening import open_engine  # noqa: PLC0415 -- as above

    family = FAMILIES.get(model.decoder or "")
    if family is None or model.input is None:
        raise ConfigurationError(
            f"model {model.model_id}: decoder {model.decoder} is none of {', '.join(FAMILIES)}"
        )
    engine, _ = open_engine(
        model,
        files,
        sample(model.input, long_side),
        options=options,
        wanted=how.wanted,
        apart=how.apart,
    )
    runs = engine.info
    info = replace(
        _info(model, pack, options.max_batch, engine=runs.engine, device=runs.device),
        path=str(files[model.files[0].name]),
        precision=runs.precision,
    )
    if isinstance(engine, DeviceEngine) and model.decoder in ON_DEVICE:
        return _on_device(engine, info, model.decoder, model.input, long_side)
    return NetworkDetector(engine, info=info, family=family, shape=model.input, long_side=long_side)


def _on_device(
    engine: DeviceEngine, info: ModelInfo, decoder: str, shape: InputSpec, long_side: int
) -> FaceDetector:
    from detection.adapters.device_detector import (  # noqa: PLC0415 -- an extra
        DeviceDetector,
    )

    return DeviceDetector(
        engine,
        info=replace(info, pictures_on=info.device),
        decoder=decoder,
        shape=shape,
        long_side=long_side,
    )
