"""Another model at run time: everything that hangs on it is exchanged as a whole."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from services.recognition.tests.arranging import (
    CURVE,
    MODEL_ID,
    Bench,
    FakeEmbedder,
    a_face_of,
    a_frame,
    chip_of,
)
from typing_extensions import override

from inference.chain import Chain, ChainTimeoutError
from inference.engine import EngineError
from inference.links import Link
from inference.placing import Placing
from inference.pool import PooledStage, watch_device
from mesh.clock import ManualClock
from mesh.errors import ConfigurationError, TransientError
from mesh.events import FaceChip, Outcome
from mesh.model_status import ModelMeter
from mesh.models import ModelStore
from mesh.record import Record
from mesh.stage import Emit, Output
from mesh.testing import NOON
from recognition.adapters.exchange import Exchange, Recognizer
from recognition.adapters.fallback import FallbackEmbedder
from recognition.adapters.memory import InMemoryGallery, InMemoryRegistry
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.adapters.workers import chips_of
from recognition.domain.embedding import Vectors
from recognition.ports import FaceEmbedder


class FakeGallery:
    """Counts what is done to it; refuses to be read while it is told to."""

    def __init__(self) -> None:
        self.read = 0
        self.changes = 0
        self.away = 0

    def refresh(self) -> None:
        if self.away:
            self.away -= 1
            raise TransientError("the database is away")
        self.read += 1

    def check(self) -> str | None:
        return None if self.read else "not read"

    def size(self) -> int:
        return 100

    @contextmanager
    def changing(self) -> Iterator[None]:
        self.changes += 1
        yield


class FakeReembedder:
    """Has so many batches to embed."""

    def __init__(self, batches: int, *, after: Callable[[], None] = lambda: None) -> None:
        self.left = batches
        self.first = 0
        self.trouble: Exception | None = None
        self._after = after

    def run_first(self) -> None:
        self.first += 1

    def run_batch(self) -> int:
        if self.trouble is not None:
            raise self.trouble
        self._after()
        self.left = max(self.left - 1, 0)
        return self.left


class FakeStage:
    """Says who processed a batch."""

    def __init__(self, name: str) -> None:
        self._name = name

    def process(self, batch: Sequence[Record[object]]) -> Sequence[Emit]:
        return [Emit((Output(self._name, "key", None),)) for _ in batch]

    def give_up(self, batch: Sequence[Record[object]], outcome: str, reason: str) -> Sequence[Emit]:
        return [Emit((Output(f"{self._name} {outcome} {reason}", "key", None),)) for _ in batch]


def _itself(embedder: FaceEmbedder) -> FaceEmbedder:
    return embedder


def an_embedder(
    *embedders: FaceEmbedder, prefer: Callable[[], str | None] = lambda: None
) -> FallbackEmbedder:
    links = [
        Link(
            name=str(number),
            device=embedder.info.device,
            model_id=embedder.info.model_id,
            timeout=60.0,
            build=partial(_itself, embedder),
        )
        for number, embedder in enumerate(embedders)
    ]
    return FallbackEmbedder(Chain[FaceEmbedder](links), prefer)


def a_recognizer(
    name: str, gallery: FakeGallery, reembedder: FakeReembedder | None = None
) -> Recognizer:
    return Recognizer(
        embedder=an_embedder(FakeEmbedder(name)),
        gallery=gallery,
        frames=FakeStage(name),
        commands=FakeStage(f"{name}'s commands"),
        reembedder=reembedder or FakeReembedder(0),
        calibration=CURVE,
    )


def test_batches_go_to_the_recogniser_that_serves_then() -> None:
    exchange = Exchange(Event())
    with pytest.raises(RuntimeError, match="no model serves"):
        exchange.frames.process([])
    exchange.begin(a_recognizer("old", FakeGallery()))
    frame = a_frame()
    assert exchange.frames.process([frame]) == [Emit((Output("old", "key", None),))]
    commit = exchange.prepare(a_recognizer("new", FakeGallery()))
    assert exchange.frames.process([frame]) == [Emit((Output("old", "key", None),))]
    commit()
    assert exchange.frames.process([frame]) == [Emit((Output("new", "key", None),))]
    (given_up,) = exchange.commands.give_up([frame], "failed", "poison")
    assert given_up == Emit((Output("new's commands failed poison", "key", None),))


def test_a_model_is_exchanged_once_it_has_embedded_everybody_and_read_the_gallery() -> None:
    exchange, gallery, reembedder = Exchange(Event()), FakeGallery(), FakeReembedder(5)
    gallery.away = 1
    exchange.begin(a_recognizer("old", FakeGallery()))
    exchange.prepare(a_recognizer("new", gallery, reembedder))()
    assert (reembedder.left, gallery.read) == (0, 1)
    assert exchange.device() == "CPU"
    duty = exchange.serving.duty(8, ModelStore(folder=None, cache=Path("none")))
    assert (duty.max_batch, duty.embedding_size, duty.threshold()) == (8, 8, CURVE.threshold(100))


def test_both_galleries_know_of_changes_while_a_model_is_prepared() -> None:
    exchange, old, new = Exchange(Event()), FakeGallery(), FakeGallery()

    def change() -> None:
        with exchange.changing():
            pass

    exchange.begin(a_recognizer("old", old))
    commit = exchange.prepare(a_recognizer("new", new, FakeReembedder(1, after=change)))
    assert (old.changes, new.changes) == (1, 1)
    commit()
    change()
    assert (old.changes, new.changes) == (1, 2)


def test_a_model_that_cannot_embed_the_enrolled_faces_is_refused() -> None:
    exchange, reembedder = Exchange(Event()), FakeReembedder(1)
    exchange.begin(a_recognizer("old", FakeGallery()))
    reembedder.trouble = EngineError("no memory")
    with pytest.raises(ConfigurationError, match="cannot embed the enrolled faces: no memory"):
        exchange.prepare(a_recognizer("new", FakeGallery(), reembedder))
    assert exchange.serving.embedder.info.model_id == "old"


def test_before_frames_are_taken_little_is_embedded_and_the_gallery_is_read() -> None:
    exchange, gallery, reembedder = Exchange(Event()), FakeGallery(), FakeReembedder(0)
    exchange.begin(a_recognizer("first", gallery, reembedder))
    assert exchange.check() == "not read"
    exchange.read_first()
    assert (exchange.check(), reembedder.first) == (None, 1)


def test_the_mirror_is_followed_until_the_end_and_troubles_are_told() -> None:
    exchange, gallery, stop, warnings = Exchange(Event()), FakeGallery(), Event(), list[str]()
    exchange.begin(a_recognizer("first", gallery))
    gallery.away = 1

    def warn(message: str) -> None:
        warnings.append(message)
        stop.set()

    exchange.follow(stop, warn)
    assert warnings == ["the database is away"]


@pytest.mark.parametrize("trouble", [TransientError("away"), EngineError("away")])
def test_missing_embeddings_are_made_until_the_end_and_troubles_are_told(
    trouble: Exception,
) -> None:
    stop, warnings = Event(), list[str]()
    reembedder = FakeReembedder(3)
    exchange = Exchange(stop)
    exchange.begin(a_recognizer("first", FakeGallery(), reembedder))

    def fail() -> None:
        if reembedder.left == 2:
            reembedder.trouble = trouble

    def warn(message: str) -> None:
        warnings.append(message)
        stop.set()

    reembedder._after = fail
    exchange.reembed(stop, warn)
    assert warnings == ["away"]


class BrokenEmbedder(FakeEmbedder):
    """Refuses everything."""

    @override
    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        raise EngineError("broken")


def test_a_stand_in_is_told_from_the_engine_that_should_have_run() -> None:
    embedder = an_embedder(BrokenEmbedder("model"), FakeEmbedder("model"))
    embedder.warm_up()
    assert not embedder.info.fallback_used
    assert embedder.embed([chip_of(1.0)]).shape == (1, 8)
    assert embedder.info.fallback_used
    assert (embedder.state(), embedder.serving().model_id) == ("degraded", "model")


class EmbeddingStage(FakeStage):
    """Embeds every face of a batch in one call; notes by which device."""

    def __init__(self, embedder: FallbackEmbedder) -> None:
        super().__init__("embedding")
        self.seen: list[tuple[str, bool]] = []
        self._embedder = embedder

    @override
    def process(self, batch: Sequence[Record[Any]]) -> Sequence[Emit]:
        self._embedder.embed([face.chip for one in batch for face in one.event.faces if face.chip])
        self.seen.append((self._embedder.info.device, self._embedder.info.fallback_used))
        return super().process(batch)


def test_the_faces_of_a_batch_say_whether_the_gpu_embeds_them() -> None:
    gpu, cpu = FakeEmbedder("model"), FakeEmbedder("model")
    gpu.info = replace(gpu.info, device="GPU-0")
    placing = Placing(CollectorRegistry(), load=lambda _: 0.1)
    embedder = an_embedder(gpu, cpu, prefer=placing.preferred)
    stage = EmbeddingStage(embedder)
    pool = watch_device(placing, lambda: embedder.serving().device, items=chips_of)
    face, unfit = a_face_of(1.0), a_face_of(1.0, chip=None)
    for faces in ([face] * 6, [face, unfit]):
        PooledStage(stage, pool).process([a_frame(*faces)])
    assert stage.seen == [("GPU-0", False), ("CPU", False)]
    assert (gpu.calls, cpu.calls) == ([6], [1])


def test_an_engine_error_of_all_links_is_no_time_out() -> None:
    with pytest.raises(EngineError) as caught:
        an_embedder(BrokenEmbedder("a"), BrokenEmbedder("a")).embed([chip_of(1.0)])
    assert not isinstance(caught.value, ChainTimeoutError)


class PickyEmbedder(FakeEmbedder):
    """Refuses calls with a picture of nobody, or hangs on them."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self._error = error

    @override
    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        if any(chip.image.endswith(b"bad") for chip in chips):
            raise self._error
        return super().embed(chips)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(EngineError("bad"), "engine_error"), (ChainTimeoutError("hung"), "model_timeout")],
)
def test_a_frame_that_the_engine_refuses_fails_alone(error: EngineError, reason: str) -> None:
    clock = ManualClock(NOON)
    registry = InMemoryRegistry(clock)
    gallery = InMemoryGallery(registry, MODEL_ID, clock)
    bench = Bench(registry, gallery, clock, embedder=PickyEmbedder(error))
    bad = a_frame(a_face_of(1.0, salt=b"bad"), sequence=1)
    good = a_frame(a_face_of(1.0), sequence=2)
    events = [output.event for output in bench.outputs(bad, good) + bench.outputs(bad)]
    assert [(event.outcome, event.reason) for event in events] == [
        (Outcome.FAILED, reason),
        (Outcome.PROCESSED, None),
        (Outcome.FAILED, reason),
    ]
    assert [len(event.models) for event in events] == [
        len(bad.event.models),
        len(good.event.models) + 1,
        len(bad.event.models),
    ]


def test_a_meter_learns_that_the_engine_failed() -> None:
    clock = ManualClock()
    meter = ModelMeter(clock)
    metered = MeteredEmbedder(BrokenEmbedder("model"), meter, clock)
    metered.warm_up()
    with pytest.raises(EngineError):
        metered.embed([chip_of(1.0)])
    assert meter.read().state == "degraded"
