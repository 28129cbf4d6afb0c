"""An embedder with stand-ins: the same model on other devices."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from inference.chain import Chain
from inference.chained import Chained
from inference.links import Link
from inference.news import ModelNews
from inference.running import warm
from inference.suiting import devices_for
from inference.switching import ModelSwitch
from mesh.errors import ConfigurationError
from mesh.events import FaceChip
from mesh.models import ModelRegistry, ModelSpec, ModelStore
from recognition.adapters.model_pack import load_embedder
from recognition.domain.embedding import Vectors
from recognition.ports import EmbedderInfo, FaceEmbedder
from recognition.settings import RecognitionSettings

TASK = "face-recognition"


class FallbackEmbedder(Chained[FaceEmbedder, EmbedderInfo]):
    """Embeds faces by the first link that answers."""

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align and embed chips, in order; see `FaceEmbedder`."""
        return self._ask(lambda one: one.embed(chips))


class Embedders:
    """Loads the embedders of the registry, each on every device that the settings name."""

    def __init__(
        self,
        settings: RecognitionSettings,
        registry: ModelRegistry,
        store: ModelStore,
        news: ModelNews,
        prefer: Callable[[], str | None],
    ) -> None:
        self._prefer = prefer
        self._settings = settings
        self._registry = registry
        self._store = store
        self._news = news

    def load(self, model_id: str) -> FallbackEmbedder:
        """The embedder of a model; loaded, not warm.

        Another model cannot stand in: its vectors could not be compared with the gallery's.

        Raises:
            ConfigurationError: the model is unknown, of another task, has no measured thresholds,
                or cannot be loaded.
        """
        settings, model = self._settings, self._registry.model(model_id)
        if model.task != TASK:
            raise ConfigurationError(f"{model_id} is a model for {model.task}, not for {TASK}")
        settings.matching(model_id)
        settings.check_patience(settings.devices)
        links = [
            Link(
                name=f"{model_id} on {device}",
                device=device,
                model_id=model_id,
                timeout=settings.timeout(device),
                build=partial(self._load, model, device),
            )
            for device in devices_for(settings.devices, model)
        ]
        chain = Chain(links, warm_up=warm, tell=self._news.changed)
        return FallbackEmbedder(chain, self._prefer)

    def switch(
        self, serving: FallbackEmbedder, prepare: Callable[[FallbackEmbedder], Callable[[], None]]
    ) -> ModelSwitch:
        """Carries out commands to use another model.

        Args:
            serving: the embedder that is loaded.
            prepare: makes ready what hangs on another one; what it returns exchanges them.
        """
        return ModelSwitch(
            task=TASK,
            serving=serving.info.model_id,
            prepare=lambda model_id: prepare(self.load(model_id)),
            news=self._news,
        )

    def _load(self, model: ModelSpec, device: str) -> FaceEmbedder:
        settings = self._settings
        pack = self._registry.pack(settings.model_pack)
        return load_embedder(
            replace(pack, name=self._registry.pack_of(model, pack.name)),
            self._store,
            threads=settings.recognition_threads,
            running=settings.running(
                device, engine=settings.recognition_engine, streams=settings.recognition_streams
            ),
            model=model,
        )
