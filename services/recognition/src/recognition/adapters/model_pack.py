"""The embedder of the model pack that the settings name."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inference.engine import DeviceEngine, Engine, EngineOptions
from inference.opening import open_engine
from inference.running import Running
from mesh.errors import ConfigurationError
from mesh.models import InputSpec, ModelRegistry, ModelSpec, ModelStore, Pack
from recognition.adapters.network_embedder import AT_ONCE, NetworkEmbedder, sample
from recognition.domain.alignment import TEMPLATES, Template
from recognition.ports import EmbedderInfo, FaceEmbedder


def load_embedder(
    pack: Pack | str,
    store: ModelStore,
    *,
    threads: int,
    running: Running | None = None,
    model: ModelSpec | None = None,
) -> FaceEmbedder:
    """Load the embedder of a pack; its files are verified first.

    Args:
        pack: of the model registry, or its name.
        store: where its files lie.
        threads: that one run may use, where the engine has several.
        running: where and by what; the fastest on the CPU by default.
        model: to load instead of the pack's own.

    Raises:
        ConfigurationError: a file is missing or altered, or no engine can run it.
    """
    chosen = ModelRegistry.load().pack(pack) if isinstance(pack, str) else pack
    model = store.pinned(model or chosen.embedder)
    files = store.locate(model)
    if model.engine == "dlib":
        return _dlib(files, _info(model, chosen.name))
    how = running or Running()
    options = how.options(threads=threads, max_batch=AT_ONCE)
    return _network(model, chosen.name, files, options, how)


def _info(
    model: ModelSpec, pack_name: str, *, engine: str = "dlib", device: str = "CPU"
) -> EmbedderInfo:
    return EmbedderInfo(
        model_id=model.model_id,
        name=model.name,
        version=model.version,
        licence=model.licence,
        sha256=model.files[-1].sha256,
        pack=pack_name,
        aliases=model.aliases,
        device=device,
        engine=engine,
        dim=model.embedding_size or 0,
    )


def _network(
    model: ModelSpec,
    pack_name: str,
    files: Mapping[str, Path],
    options: EngineOptions,
    how: Running,
) -> FaceEmbedder:
    template = TEMPLATES.get(model.alignment or "")
    if template is None or model.input is None:
        raise ConfigurationError(
            f"model {model.model_id}: alignment {model.alignment} is none of {', '.join(TEMPLATES)}"
        )
    engine, _ = open_engine(
        model,
        files,
        sample(template, model.input),
        options=options,
        wanted=how.wanted,
        apart=how.apart,
    )
    info = replace(
        _info(model, pack_name, engine=engine.info.engine, device=engine.info.device),
        path=str(files[model.files[-1].name]),
        precision=engine.info.precision,
    )
    return embedder_of(engine, info=info, template=template, shape=model.input)


def embedder_of(
    engine: Engine, *, info: EmbedderInfo, template: Template, shape: InputSpec
) -> FaceEmbedder:
    """The embedder for an engine; if it takes tensors of its device, faces do not leave it.

    Raises:
        ConfigurationError: the network does not give one vector of the model's size, or torch
            lacks what the device needs.
    """
    if not isinstance(engine, DeviceEngine):
        return NetworkEmbedder(engine, info=info, template=template, shape=shape)
    try:
        from recognition.adapters import device_embedder  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigurationError(f"torch on a device needs torchvision: {error}") from error
    return device_embedder.DeviceEmbedder(engine, info=info, template=template, shape=shape)


def _dlib(files: Mapping[str, Path], info: EmbedderInfo) -> FaceEmbedder:
    try:
        from recognition.adapters.dlib_embedder import DlibEmbedder  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigurationError(
            "SIGHTLINE_MODEL_PACK: dlib needs the extra `recognition[dlib]`"
        ) from error
    return DlibEmbedder(
        predictor=files["shape_predictor_5_face_landmarks.dat"],
        network=files["dlib_face_recognition_resnet_model_v1.dat"],
        info=info,
    )
