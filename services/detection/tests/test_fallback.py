"""A detector with stand-ins, exchanged while it works."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from detection.adapters.chained import ChainedFaceModel, Places, places_of
from detection.adapters.face_networks import empty_view as a_view
from detection.adapters.fallback import Detectors, FallbackDetector
from detection.domain.face import Image, RawFace
from detection.ports import FaceDetector, FaceView, ModelInfo
from detection.settings import DetectionSettings
from inference.chain import Chain, ChainTimeoutError
from inference.choice import NoEngineError
from inference.devices import Work
from inference.engine import EngineError
from inference.links import Link
from inference.news import ModelNews, Teller
from inference.placing import Placing
from inference.running import WARM_UP_RUNS, Running
from mesh.clock import ManualClock
from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, Pack
from mesh.stage import Output

PICTURE = np.zeros((40, 40, 3), np.uint8)
EVENTS = "sightline.events"


class FakeDetector:
    """Finds nothing, or fails as it is told."""

    def __init__(self, model_id: str, device: str = "CPU", pack: str = "fake") -> None:
        self.info = ModelInfo(
            model_id=model_id,
            name=model_id,
            version="1",
            licence="none",
            sha256="0" * 64,
            pack=pack,
            device=device,
            engine="fake",
        )
        self.trouble: Exception | None = None
        self.warm = 0
        self.sides: list[int | None] = []

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        self.sides.append(long_side)
        if self.trouble is not None:
            raise self.trouble
        return [[] for _ in images]

    def warm_up(self) -> None:
        self.warm += 1


class Silence:
    """Publishes nothing."""

    def send(self, output: Output) -> None:
        raise AssertionError

    def flush(self, timeout: object) -> None:
        raise AssertionError


class World:
    """Detectors of the registry's models, loaded as fakes."""

    def __init__(self) -> None:
        self.loaded: list[FakeDetector] = []
        self.wanted: list[str] = []
        self.batch = 1
        self.away: str | None = None
        teller = Teller(service="detection", task="t", instance_id="d-0", topic=EVENTS)
        self.news = ModelNews(teller, Silence(), ManualClock())

    def detectors(self) -> Detectors:
        return Detectors(DetectionSettings.load(), ModelRegistry.load(), self.load, self.news)

    def load(self, pack: Pack, *, running: Running, **named: Any) -> FaceDetector:
        assert named == {"long_side": 640, "threads": 1, "max_batch": self.batch}
        if running.device == self.away:
            raise NoEngineError("no engine can run it")
        self.wanted.append(running.wanted)
        self.loaded.append(FakeDetector(pack.detector.model_id, running.device, pack.name))
        return self.loaded[-1]


@pytest.fixture
def world() -> World:
    return World()


def a_chain(*detectors: FakeDetector) -> Chain[FaceDetector]:
    def build(detector: FakeDetector) -> Callable[[], FaceDetector]:
        return lambda: detector

    return Chain[FaceDetector](
        [
            Link(
                name=str(number),
                device=detector.info.device,
                model_id=detector.info.model_id,
                timeout=60.0,
                build=build(detector),
            )
            for number, detector in enumerate(detectors)
        ]
    )


def test_a_default_installation_has_one_link(world: World) -> None:
    assert len(world.detectors().chain("yunet-2023mar").tools) == 1
    assert world.loaded[0].info.device == "CPU"


def test_a_detector_names_the_pack_that_it_comes_with(world: World) -> None:
    for model_id in ("yunet-2023mar", "scrfd-2.5g", "scrfd-500m"):
        world.detectors().chain(model_id)
    packs = [one.info.pack for one in world.loaded]
    assert packs == ["yunet-omz", "scrfd-mobilefacenet", ""]


def test_devices_come_before_other_models(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.batch = 8
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-0")
    monkeypatch.setenv("SIGHTLINE_DETECTION_FALLBACKS", "dlib-hog-5pt, yunet-2023mar")
    world.detectors().chain("yunet-2023mar")
    assert [(one.info.model_id, one.info.device) for one in world.loaded] == [
        ("yunet-2023mar", "GPU-0"),
        ("yunet-2023mar", "CPU"),
        ("dlib-hog-5pt", "CPU"),
    ]


def test_a_detector_that_no_engine_runs_on_the_gpu_goes_on_the_cpu(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.batch = 8
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-0")
    monkeypatch.setenv("SIGHTLINE_ENGINE", "onnxruntime")
    world.detectors().chain("dlib-hog-5pt")
    assert [(one.info.model_id, one.info.device) for one in world.loaded] == [
        ("dlib-hog-5pt", "CPU")
    ]


def test_the_engine_is_a_setting_of_the_chosen_device(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.batch = 8
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-0")
    monkeypatch.setenv("SIGHTLINE_ENGINE", "onnxruntime")
    world.detectors().chain("yunet-2023mar")
    monkeypatch.setenv("SIGHTLINE_DETECTION_ENGINE", "torch")
    world.detectors().chain("yunet-2023mar")
    assert world.wanted == ["onnxruntime", "auto", "torch", "auto"]


def test_a_gpu_that_is_away_at_the_start_leaves_the_work_to_the_cpu(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.batch = 8
    world.away = "GPU-0"
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-0")
    detector = FallbackDetector(world.detectors().chain("yunet-2023mar"))
    detector.warm_up()
    assert (detector.serving().device, detector.state()) == ("CPU", "degraded")
    detector.detect([PICTURE])
    assert (detector.info.device, detector.info.fallback_used) == ("CPU", True)
    world.away = "CPU"
    with pytest.raises(NoEngineError):
        world.detectors().chain("yunet-2023mar")


def test_an_unknown_model_and_one_of_another_task_are_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match="no model nonsense"):
        world.detectors().chain("nonsense")
    with pytest.raises(ConfigurationError, match="face-recognition, not for face-detection"):
        world.detectors().chain("dlib-resnet-v1")


def test_the_cloud_needs_consent_at_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_DETECTION_FALLBACKS", "aws-rekognition")
    with pytest.raises(ConfigurationError, match="SIGHTLINE_CLOUD_CONSENT"):
        world.detectors().chain("yunet-2023mar")
    monkeypatch.setenv("SIGHTLINE_BATCH_TIMEOUT_S", "20")
    with pytest.raises(ConfigurationError, match="SIGHTLINE_BATCH_TIMEOUT_S is 20"):
        world.detectors().chain("yunet-2023mar")


def test_another_model_takes_over_from_the_next_call_on(world: World) -> None:
    detectors = world.detectors()
    detector = FallbackDetector(detectors.chain("yunet-2023mar"))
    detector.warm_up()
    detector.detect([PICTURE], long_side=1280)
    commit = detectors.prepare(detector, "dlib-hog-5pt")
    assert [one.warm for one in world.loaded] == [WARM_UP_RUNS, WARM_UP_RUNS]
    detector.detect([PICTURE])
    assert (detector.info.model_id, detector.serving().model_id) == ("yunet-2023mar",) * 2
    commit()
    assert (detector.info.model_id, detector.serving().model_id) == (
        "yunet-2023mar",
        "dlib-hog-5pt",
    )
    assert detector.detect([PICTURE, PICTURE]) == [[], []]
    assert (detector.info.model_id, detector.info.fallback_used) == ("dlib-hog-5pt", False)
    assert world.loaded[0].sides == [1280, None]


def test_a_stand_in_says_that_it_is_one() -> None:
    first, second = FakeDetector("first", "GPU-0"), FakeDetector("second")
    detector = FallbackDetector(a_chain(first, second))
    first.trouble = EngineError("out of memory")
    detector.detect([PICTURE])
    info = detector.info
    assert (info.model_id, info.device, info.fallback_used) == ("second", "CPU", True)
    assert detector.state() == "degraded"
    first.trouble = None
    detector.detect([PICTURE])
    assert (detector.info.model_id, detector.info.fallback_used) == ("first", False)


def test_a_batch_that_is_sent_past_the_gpu_stands_in_for_nobody() -> None:
    placing = Placing(CollectorRegistry(), load=lambda _: 0.1)
    detector = FallbackDetector(
        a_chain(FakeDetector("m", "GPU-0"), FakeDetector("m")), placing.preferred
    )
    seen = []
    for frames in (1, 8):
        with placing.placed(Work(batch=frames), detector.serving().device) as device:
            detector.detect([PICTURE] * frames)
            seen.append((device, detector.info.device, detector.info.fallback_used))
    assert seen == [("CPU", "CPU", False), ("GPU-0", "GPU-0", False)]
    assert detector.state() == "available"


def test_a_gpu_gets_batches_that_are_worth_it_unless_told_otherwise(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (DetectionSettings.load().batch, DetectionSettings.load().by_matrix) == (1, True)
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-0")
    world.batch = 8
    world.detectors().chain("yunet-2023mar")
    monkeypatch.setenv("SIGHTLINE_DETECTION_BATCH", "3")
    monkeypatch.setenv("SIGHTLINE_DEVICE_CHOICE", "all")
    assert (DetectionSettings.load().batch, DetectionSettings.load().by_matrix) == (3, False)


def test_what_no_link_answers_is_an_error_that_tells_time_outs_apart() -> None:
    only = FakeDetector("only")
    detector = FallbackDetector(a_chain(only))
    only.trouble = EngineError("bad picture")
    with pytest.raises(EngineError, match="bad picture"):
        detector.detect([PICTURE])
    only.trouble = ChainTimeoutError("no answer")
    with pytest.raises(ChainTimeoutError):
        detector.detect([PICTURE])


class FakeFaceModel(FakeDetector):
    """Says where it runs, or fails as it is told."""

    def read(self, faces: Sequence[FaceView]) -> list[str]:
        if self.trouble is not None:
            raise self.trouble
        return [self.info.device for _ in faces]


def test_a_further_model_goes_on_where_its_device_fails() -> None:
    built = {device: FakeFaceModel("m", device) for device in ("GPU-0", "CPU")}
    told: list[tuple[str, str]] = []
    places = Places(
        devices=("GPU-0", "CPU"), tell=lambda task, change: told.append((task, change.kind))
    )
    model = ChainedFaceModel(
        places.chain("liveness", "m", built.__getitem__, devices=places.devices)
    )
    model.warm_up()
    assert [one.warm for one in built.values()] == [WARM_UP_RUNS] * 2
    assert (model.read([a_view()]), model.info.fallback_used) == (["GPU-0"], False)
    built["GPU-0"].trouble = EngineError("out of memory")
    assert (model.read([a_view()]), model.info.fallback_used) == (["CPU"], True)
    assert (model.state(), model.info.device) == ("degraded", "CPU")
    assert told == [("liveness", "model_degraded"), ("liveness", "model_fallback")]


def test_a_further_model_that_every_device_refuses_is_an_engine_error() -> None:
    broken = FakeFaceModel("m")
    broken.trouble = EngineError("no")
    model = ChainedFaceModel(Places().chain("liveness", "m", lambda _: broken, devices=["CPU"]))
    with pytest.raises(EngineError, match="no"):
        model.read([a_view()])


def test_further_models_run_where_the_detector_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-0")
    monkeypatch.setenv("SIGHTLINE_DETECTION_THREADS", "3")
    places = places_of(DetectionSettings.load(), world.news, lambda: "CPU")
    assert (places.devices, places.threads, places.prefer()) == (["GPU-0", "CPU"], 3, "CPU")
    assert [places.timeout(device) for device in places.devices] == [5, 10]
