"""From a model of the registry to a detector that runs it."""

from detection.ports import FaceDetector, ModelInfo
from mesh.errors import ConfigurationError
from mesh.models import ModelStore, Pack


def load_detector(
    pack: Pack, store: ModelStore, *, long_side: int, threads: int, max_batch: int
) -> FaceDetector:
    """The pack's detector; imports only the engine that it needs.

    Args:
        pack: from the model registry.
        store: where its files lie.
        long_side: pictures are scaled down to this, pixels.
        threads: that one run may use, where the engine has several.
        max_batch: pictures per call that the caller means to send.

    Raises:
        ConfigurationError: a file is missing or altered, or the engine is not installed.
    """
    model = pack.detector
    path = store.locate(model)[model.files[0].name]
    info = ModelInfo(
        model_id=model.model_id,
        name=model.name,
        version=model.version,
        licence=model.licence,
        sha256=model.files[0].sha256,
        pack=pack.name,
        device="CPU",
        engine=model.engine,
        aliases=model.aliases,
        max_batch=max_batch,
    )
    if model.engine == "dlib":
        try:
            from detection.adapters.dlib_detector import DlibDetector  # noqa: PLC0415 -- an extra
        except ImportError as error:
            raise ConfigurationError("pack dlib needs the extra detection[dlib]") from error
        return DlibDetector(path, info=info, long_side=long_side)
    from detection.adapters.yunet import YuNetDetector  # noqa: PLC0415 -- brings its runtime

    return YuNetDetector(path, info=info, long_side=long_side, threads=threads)
