"""The embedder of the model pack that the settings name."""

from pathlib import Path

from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, ModelStore
from recognition.ports import EmbedderInfo, FaceEmbedder


def load_embedder(pack_name: str, store: ModelStore, *, threads: int) -> FaceEmbedder:
    """Load the embedder of a pack; its files are verified first.

    Raises:
        ConfigurationError: a file is missing or altered, or its engine is not installed.
    """
    model = ModelRegistry.load().pack(pack_name).embedder
    files = store.locate(model)
    main = model.files[-1]
    info = EmbedderInfo(
        model_id=model.model_id,
        name=model.name,
        version=model.version,
        licence=model.licence,
        sha256=main.sha256,
        pack=pack_name,
        aliases=model.aliases,
        device="CPU",
        engine=model.engine,
        dim=model.embedding_size or 0,
    )
    if model.engine == "openvino":
        return _openvino(files, info, threads)
    if model.engine == "dlib":
        return _dlib(files, info)
    raise ConfigurationError(f"model {model.model_id}: no engine {model.engine} here")


# Each engine is imported only where it is used: dlib is an extra, and OpenVINO takes 100 MB.


def _openvino(files: dict[str, Path], info: EmbedderInfo, threads: int) -> FaceEmbedder:
    from recognition.adapters.omz_embedder import OmzEmbedder  # noqa: PLC0415 -- see above

    by_suffix = {Path(name).suffix: path for name, path in files.items()}
    return OmzEmbedder(by_suffix[".xml"], by_suffix[".bin"], info, threads=threads)


def _dlib(files: dict[str, Path], info: EmbedderInfo) -> FaceEmbedder:
    try:
        from recognition.adapters.dlib_embedder import DlibEmbedder  # noqa: PLC0415 -- see above
    except ImportError as error:
        raise ConfigurationError(
            "SIGHTLINE_MODEL_PACK: dlib needs the extra `recognition[dlib]`"
        ) from error
    return DlibEmbedder(
        predictor=files["shape_predictor_5_face_landmarks.dat"],
        network=files["dlib_face_recognition_resnet_model_v1.dat"],
        info=info,
    )
