"""A detector with stand-ins, which can be exchanged while it works."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from detection.domain.face import Image, RawFace
from detection.ports import FaceDetector, ModelInfo
from detection.settings import REKOGNITION, DetectionSettings
from inference.chain import Chain
from inference.chained import Chained
from inference.links import Link
from inference.news import ModelNews
from inference.running import warm
from inference.settings import CLOUD
from inference.suiting import devices_for
from inference.switching import ModelSwitch
from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, ModelSpec

Load = Callable[..., FaceDetector]
"""`load_detector` with the store bound."""
_TASK = "face-detection"


class Detectors:
    """Builds chains of the detectors that the settings name."""

    def __init__(
        self, settings: DetectionSettings, registry: ModelRegistry, load: Load, news: ModelNews
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._load = load
        self._news = news

    def chain(self, model_id: str) -> Chain[FaceDetector]:
        """The chain in front of which this model stands; loaded, not warm.

        Raises:
            ConfigurationError: a model is unknown, of another task, or cannot be loaded.
        """
        model = self._model(model_id)
        places = self._settings.places(model_id, devices_for(self._settings.devices, model))
        self._settings.check_patience([device for _, device in places])
        links = [
            self._cloud() if device == CLOUD else self._link(self._model(name), device)
            for name, device in places
        ]
        return Chain(links, warm_up=warm, tell=self._news.changed)

    def switch(self, detector: "FallbackDetector") -> ModelSwitch:
        """Carries out commands to use another model in this detector."""
        return ModelSwitch(
            task=_TASK,
            serving=detector.info.model_id,
            prepare=partial(self.prepare, detector),
            news=self._news,
        )

    def prepare(self, detector: "FallbackDetector", model_id: str) -> Callable[[], None]:
        """Load and warm a chain beside the one that works; what is returned exchanges them.

        Raises:
            ConfigurationError: as `chain`.
        """
        chain = self.chain(model_id)
        chain.warm_up()
        return lambda: detector.exchange(chain)

    def _build(self, model: ModelSpec, device: str) -> FaceDetector:
        settings = self._settings
        pack = self._registry.pack(settings.model_pack)
        name = self._registry.pack_of(model, pack.name)
        return self._load(
            replace(pack, name=name, detector=model),
            long_side=settings.detection_long_side,
            threads=settings.detection_threads,
            max_batch=settings.batch,
            running=settings.running(
                device, engine=settings.detection_engine, streams=settings.detection_streams
            ),
        )

    def _model(self, model_id: str) -> ModelSpec:
        model = self._registry.model(model_id)
        if model.task != _TASK:
            raise ConfigurationError(f"{model_id} is a model for {model.task}, not for {_TASK}")
        return model

    def _cloud(self) -> Link[FaceDetector]:
        def build() -> FaceDetector:
            try:
                from detection.adapters.rekognition import (  # noqa: PLC0415 -- an extra
                    RekognitionDetector,
                )
            except ImportError as error:
                raise ConfigurationError(
                    f"SIGHTLINE_DETECTION_FALLBACKS: {REKOGNITION} needs the extra detection[cloud]"
                ) from error
            return RekognitionDetector.connect(self._settings.cloud)

        timeout = self._settings.timeout(CLOUD)
        return Link(name=CLOUD, device=CLOUD, model_id=REKOGNITION, timeout=timeout, build=build)

    def _link(self, model: ModelSpec, device: str) -> Link[FaceDetector]:
        return Link(
            name=f"{model.model_id} on {device}",
            device=device,
            model_id=model.model_id,
            timeout=self._settings.timeout(device),
            build=partial(self._build, model, device),
        )


class FallbackDetector(Chained[FaceDetector, ModelInfo]):
    """Faces from the first link that answers; another chain takes over between two calls.

    `exchange` may be called from another thread than the one that detects.
    """

    def exchange(self, chain: Chain[FaceDetector]) -> None:
        """Use another chain from the next call on."""
        self._chain = chain

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture; see `FaceDetector`."""
        return self._ask(lambda one: one.detect(images, long_side=long_side))
