"""Everything that hangs on the model in use, exchanged as a whole between two batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

from inference.engine import EngineError
from mesh.errors import ConfigurationError, TransientError
from mesh.model_status import Duty
from mesh.models import ModelStore
from mesh.record import Record
from mesh.stage import Emit, Reject, Stage
from recognition.adapters.database import until_up
from recognition.adapters.fallback import TASK, FallbackEmbedder
from recognition.adapters.workers import NAME
from recognition.domain.calibration import Calibration

_POLL_SECONDS = 0.5
_PAUSE_SECONDS = 60.0


class FollowedGallery(Protocol):
    """A gallery whose mirror has to be kept fresh; see `PgVectorGallery`."""

    def refresh(self) -> None:
        """Read what changed since the last time."""

    def check(self) -> str | None:
        """What is wrong with the mirror, or nothing."""

    def size(self) -> int:
        """Persons that a search would compare with now."""

    def changing(self) -> AbstractContextManager[None]:
        """While this process changes the gallery."""


class Reembedding(Protocol):
    """Gives a model an embedding of every stored sample; see `Reembedder`."""

    def run_first(self) -> None:
        """Embed what is missing, if it is little."""

    def run_batch(self) -> int:
        """Embed the next samples that lack an embedding; how many there were."""


@dataclass(frozen=True, slots=True)
class Recognizer:
    """The parts that work with one model."""

    embedder: FallbackEmbedder
    gallery: FollowedGallery
    frames: Stage[Any]
    commands: Stage[Any]
    reembedder: Reembedding
    calibration: Calibration

    def duty(self, max_batch: int, store: ModelStore) -> Duty:
        """What its heartbeat says beside the model.

        Args:
            max_batch: frames per batch, at most.
            store: watches the model's files.
        """
        return Duty(
            service=NAME,
            task=TASK,
            max_batch=max_batch,
            embedding_size=self.embedder.serving().dim,
            threshold=lambda: self.calibration.threshold(self.gallery.size()),
            drift=store.drift,
        )


class Exchange:
    """The recogniser that serves; another one takes its place between two batches.

    Frames in hand are finished by the model that began them. The galleries of both models know of
    every change that this process makes while one is prepared.
    """

    def __init__(self, stop: Event) -> None:
        """Take what ends the preparation of a model."""
        self._stop = stop
        self._serving: Recognizer | None = None
        self._galleries: tuple[FollowedGallery, ...] = ()
        self.frames: Stage[Any] = _Current(lambda: self.serving.frames)
        self.commands: Stage[Any] = _Current(lambda: self.serving.commands)

    @property
    def serving(self) -> Recognizer:
        """What serves now.

        Raises:
            RuntimeError: nothing does yet.
        """
        if self._serving is None:
            raise RuntimeError("no model serves yet")
        return self._serving

    def begin(self, recognizer: Recognizer) -> None:
        """The first one serves, as soon as its gallery has been read."""
        self._galleries, self._serving = (recognizer.gallery,), recognizer

    def prepare(self, recognizer: Recognizer) -> Callable[[], None]:
        """Warm it up, embed every stored sample with it and read its gallery; blocks.

        Waits for a database that is away. What is returned puts it in the place of what serves.

        Raises:
            ConfigurationError: it cannot embed the stored samples.
        """
        recognizer.embedder.warm_up()
        self._galleries = (self.serving.gallery, recognizer.gallery)
        until_up(lambda: self._embed_all(recognizer), self._stop)
        until_up(recognizer.gallery.refresh, self._stop)
        return lambda: self.begin(recognizer)

    def read_first(self) -> None:
        """Embed what is missing, if it is little, and read the gallery, before frames are taken.

        Raises:
            TransientError: the database does not answer.
        """
        self.serving.reembedder.run_first()
        self.serving.gallery.refresh()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """While this process changes the gallery; see `PgVectorGallery.changing`."""
        with ExitStack() as stack:
            for gallery in self._galleries:
                stack.enter_context(gallery.changing())
            yield

    def check(self) -> str | None:
        """What is wrong with the gallery that is searched, or nothing."""
        return self.serving.gallery.check()

    def device(self) -> str:
        """Where the model that serves runs now."""
        return self.serving.embedder.serving().device

    def follow(self, stop: Event, warn: Callable[[str], None]) -> None:
        """Keep the mirror that is searched fresh until `stop` is set; blocks.

        Args:
            stop: ends it within a poll.
            warn: told why the database could not be read; the next poll tries again.
        """
        while not stop.is_set():
            try:
                self.serving.gallery.refresh()
            except TransientError as error:
                warn(str(error))
            stop.wait(_POLL_SECONDS)

    def reembed(self, stop: Event, warn: Callable[[str], None]) -> None:
        """Embed what is missing, then look again every minute, until `stop` is set; blocks.

        Samples go missing while another process still enrols with the model before.

        Args:
            stop: ends it after the batch in hand.
            warn: told why the registry could not be reached or the engine failed; it tries again.
        """
        while not stop.is_set():
            model, done = self.serving, 0
            try:
                done = model.reembedder.run_batch()
            except (TransientError, EngineError) as error:
                warn(str(error))
            self._rest(stop, model, 0.0 if done else _PAUSE_SECONDS)

    def _rest(self, stop: Event, model: Recognizer, seconds: float) -> None:
        """Wait, but no longer than the model serves."""
        while seconds > 0 and self.serving is model and not stop.wait(_POLL_SECONDS):
            seconds -= _POLL_SECONDS

    def _embed_all(self, recognizer: Recognizer) -> None:
        try:
            while not self._stop.is_set() and recognizer.reembedder.run_batch():
                pass
        except EngineError as error:
            self._galleries = (self.serving.gallery,)
            raise ConfigurationError(f"it cannot embed the enrolled faces: {error}") from error


class _Current:
    """A stage that hands each batch to the one that serves then."""

    def __init__(self, serving: Callable[[], Stage[Any]]) -> None:
        self._serving = serving

    def process(self, batch: Sequence[Record[Any]]) -> Sequence[Emit | Reject]:
        """See `Stage.process`."""
        return self._serving().process(batch)

    def give_up(
        self, batch: Sequence[Record[Any]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        """See `Stage.give_up`."""
        return self._serving().give_up(batch, outcome, reason)
