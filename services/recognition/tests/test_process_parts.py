"""The small parts of a process: the meter, its heartbeat, background work, settings."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event

import pytest
from services.recognition.tests.arranging import TOPICS, FakeEmbedder, chip_of
from typing_extensions import override

from mesh.clock import ManualClock
from mesh.errors import ConfigurationError, TransientError
from mesh.events import FaceChip, ModelStatus
from mesh.stage import Output
from recognition.adapters.background import Background
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.adapters.model_status import ModelHeartbeat
from recognition.domain.embedding import Vectors
from recognition.domain.meter import EmbedderMeter
from recognition.ports import Surroundings
from recognition.settings import RecognitionSettings


class SlowEmbedder(FakeEmbedder):
    """Takes a tenth of a second for each face."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    @override
    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        self._clock.advance(0.1 * len(chips))
        return super().embed(chips)


class Recorder:
    """Publishes into a list; refuses while it is away."""

    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.away = False

    def send(self, output: Output) -> None:
        self.sent.append(output)

    def flush(self, timeout: timedelta) -> None:
        if self.away:
            raise TransientError("the broker is away")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metered(clock: ManualClock) -> MeteredEmbedder:
    return MeteredEmbedder(SlowEmbedder(clock), clock)


def a_heartbeat(metered: MeteredEmbedder, clock: ManualClock, recorder: Recorder) -> ModelHeartbeat:
    around = Surroundings(clock, TOPICS, "recognition-0", metered.info)
    return ModelHeartbeat(metered, recorder, around, threshold=lambda: 0.5, max_batch=8)


def test_a_meter_without_work_reads_nothing() -> None:
    reading = EmbedderMeter().read(0.0)
    assert (reading.utilisation, reading.throughput, reading.latency_p50) == (0.0, 0.0, None)


def test_a_status_says_what_happened_since_the_last(
    metered: MeteredEmbedder, clock: ManualClock
) -> None:
    heartbeat = a_heartbeat(metered, clock, Recorder())
    assert heartbeat.status().state == "loading"
    metered.warm_up()
    metered.embed([])
    metered.embed([chip_of(1.0), chip_of(1.0)])
    clock.advance(0.8)
    status = heartbeat.status()
    assert (status.state, status.threshold, status.embedding_size) == ("available", 0.5, 8)
    assert status.utilisation == pytest.approx(0.2)
    assert status.throughput_fps == pytest.approx(2.0)
    assert status.latency_p99_ms == pytest.approx(100.0)
    clock.advance(1.0)
    assert heartbeat.status().utilisation == 0.0


def test_a_lost_heartbeat_is_said_and_nothing_else(
    metered: MeteredEmbedder, clock: ManualClock
) -> None:
    recorder, stop, warnings = Recorder(), Event(), list[str]()
    recorder.away = True

    def warn(message: str) -> None:
        warnings.append(message)
        stop.set()

    a_heartbeat(metered, clock, recorder).run(stop, warn)
    assert warnings == ["the broker is away"]
    assert isinstance(recorder.sent[0].event, ModelStatus)
    assert (recorder.sent[0].topic, recorder.sent[0].key) == (
        "sightline.model-status",
        metered.info.model_id,
    )


def test_readiness_waits_for_the_model(metered: MeteredEmbedder) -> None:
    assert metered.check() == "omz-face-reid-0095 is not warm yet"
    metered.warm_up()
    assert metered.check() is None


def test_background_work_ends_when_it_is_left() -> None:
    ended: list[bool] = []

    def work(stop: Event, warn: Callable[[str], None]) -> None:
        warn("once")
        ended.append(stop.wait(10))

    with Background("recognition", Event()) as background:
        background.start(work)
    assert ended == [True]


def test_background_work_that_fails_stops_everything_and_is_raised() -> None:
    stop = Event()

    def work(stop: Event, warn: Callable[[str], None]) -> None:
        raise LookupError("a bug")

    def wait_for_it() -> None:
        with Background("recognition", stop) as background:
            background.start(work)
            assert stop.wait(10)

    with pytest.raises(LookupError, match="a bug"):
        wait_for_it()


def test_a_failure_of_the_main_loop_is_not_hidden_by_the_background() -> None:
    def work(stop: Event, warn: Callable[[str], None]) -> None:
        raise LookupError("a consequence")

    def fail() -> None:
        with Background("recognition", Event()) as background:
            background.start(work)
            raise RuntimeError("the cause")

    with pytest.raises(RuntimeError, match="the cause"):
        fail()


def test_settings_reach_the_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_ENROLLMENT_MIN_FACE", "64")
    monkeypatch.setenv("SIGHTLINE_FUSION_FRAMES", "3")
    settings = RecognitionSettings.load()
    assert settings.photos.min_face_side == 64
    fusion = settings.fusion("dlib-resnet-v1")
    assert (fusion.frames, fusion.coherence) == (3, 0.925)
    assert "postgresql" not in repr(settings)


def test_a_model_without_measured_thresholds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no measured thresholds"):
        RecognitionSettings().matching("unknown")
