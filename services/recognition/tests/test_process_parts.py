"""The small parts of a process: the measured embedder, settings."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Never

import pytest
from services.recognition.tests.arranging import FakeEmbedder, chip_of
from structlog.testing import capture_logs
from typing_extensions import override

from inference.engine import EngineOptions
from inference.news import ModelNews, Teller
from inference.running import Running
from mesh.clock import ManualClock
from mesh.errors import ConfigurationError
from mesh.events import FaceChip
from mesh.model_status import ModelMeter
from mesh.models import ModelFile, ModelRegistry, ModelStore, open_registry
from mesh.stage import Output
from recognition.adapters.fallback import Embedders
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.adapters.model_pack import load_embedder
from recognition.domain.calibration import CALIBRATIONS
from recognition.domain.embedding import Vectors
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


class Silence:
    """Publishes nothing."""

    def send(self, output: Output) -> Never:
        raise AssertionError

    def flush(self, timeout: object) -> Never:
        raise AssertionError


def embedders(cache: Path) -> Embedders:
    """As a process has them that is set as the environment says."""
    settings = RecognitionSettings.load()
    registry, store = open_registry(settings), ModelStore(folder=None, cache=cache)
    teller = Teller(service="recognition", task="t", instance_id="r-0", topic="events")
    news = ModelNews(teller, Silence(), ManualClock())
    return Embedders(settings, registry, store, news, lambda: None)


def test_an_embedder_tells_its_meter_what_it_does() -> None:
    clock = ManualClock()
    meter = ModelMeter(clock)
    metered = MeteredEmbedder(SlowEmbedder(clock), meter, clock)
    assert meter.read().state == "loading"
    metered.warm_up()
    assert len(metered.embed([])) == 0
    metered.embed([chip_of(1.0), chip_of(1.0)])
    clock.advance(0.8)
    reading = meter.read()
    assert reading.state == "available"
    assert reading.latency_p99 == pytest.approx(0.1)
    assert reading.utilisation == pytest.approx(0.2)
    assert reading.throughput == pytest.approx(2.0)
    assert metered.info.model_id == "omz-face-reid-0095"


def test_settings_reach_the_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_ENROLLMENT_MIN_FACE", "64")
    monkeypatch.setenv("SIGHTLINE_FUSION_FRAMES", "3")
    settings = RecognitionSettings.load()
    assert settings.photos.min_face_side == 64
    fusion = settings.fusion("dlib-resnet-v1")
    assert (fusion.frames, fusion.coherence) == (3, 0.925)
    assert "postgresql" not in repr(settings)


def test_thresholds_of_the_users_registry_make_a_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.toml"
    table = '[models."insightface-w600k-r50".thresholds]'
    own.write_text(f'{table}\n"0.001" = 0.28\n"0.0001" = 0.35\n', encoding="utf-8")
    monkeypatch.setenv("SIGHTLINE_MODEL_REGISTRY", str(own))
    curve = RecognitionSettings.load().matching("insightface-w600k-r50").calibration
    assert curve.points == ((10, 0.28), (100, 0.35))


@pytest.mark.parametrize(
    ("model_id", "margin"),
    [("omz-face-reid-0095", 0.02), ("mobilefacenet-ms1m", 0.02), ("dlib-resnet-v1", 0.0035)],
)
def test_thresholds_of_the_users_registry_overrule_measured_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_id: str, margin: float
) -> None:
    own = tmp_path / "own.toml"
    monkeypatch.setenv("SIGHTLINE_MODEL_REGISTRY", str(own))
    own.write_text(f'[models."{model_id}"]\nname = "Ours"\n', encoding="utf-8")
    assert RecognitionSettings.load().matching(model_id).calibration is CALIBRATIONS[model_id]
    table = f'[models."{model_id}".thresholds]\n'
    own.write_text(f'{table}"0.001" = 0.6\n"0.0001" = 0.7\n', encoding="utf-8")
    curve = RecognitionSettings.load().matching(model_id).calibration
    assert (curve.points, curve.floor, curve.margin) == (((10, 0.6), (100, 0.7)), 0.6, margin)
    own.write_text(f'{table}"0.001" = 0.6\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"{model_id} .* two false-match rates"):
        RecognitionSettings.load().matching(model_id)


@pytest.mark.parametrize(
    ("model_id", "used"),
    [
        ("omz-face-reid-0095", ["CPU"]),
        ("dlib-resnet-v1", ["CPU"]),
        ("mobilefacenet-ms1m", ["GPU-0", "CPU"]),
    ],
)
def test_a_model_that_no_engine_runs_on_the_gpu_goes_on_the_cpu_and_the_log_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_id: str, used: list[str]
) -> None:
    devices = []

    def load(*_: object, running: Running, **__: object) -> FakeEmbedder:
        devices.append(running.device)
        return FakeEmbedder()

    monkeypatch.setattr("recognition.adapters.fallback.load_embedder", load)
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-0")
    with capture_logs() as logs:
        embedders(tmp_path).load(model_id)
    assert devices == used
    left_out = [log["device"] for log in logs if log["event"] == "device_left_out"]
    assert left_out == [device for device in ("GPU-0", "CPU") if device not in used]


def test_an_embedder_is_prepared_for_as_many_faces_as_it_is_given_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(*_: object, options: EngineOptions, **__: object) -> Never:
        raise ConfigurationError(f"{options.device} takes {options.max_batch} at once")

    monkeypatch.setattr("recognition.adapters.model_pack.open_engine", note)
    registry = ModelRegistry.load()
    own = replace(registry.models["mobilefacenet-ms1m"], files=(ModelFile(name="own.onnx"),))
    pack = replace(registry.pack("yunet-mobilefacenet"), embedder=own)
    (tmp_path / "own.onnx").write_bytes(b"a network")
    store = ModelStore(folder=tmp_path, cache=tmp_path)
    with pytest.raises(ConfigurationError, match="GPU-0 takes 64 at once"):
        load_embedder(pack, store, threads=1, running=Running(device="GPU-0"))


def test_a_model_without_measured_thresholds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no measured thresholds"):
        RecognitionSettings().matching("unknown")


def test_a_pack_of_the_users_own_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.toml"
    table = '[packs.mine]\ndetector = "yunet-2023mar"\nembedder = "dlib-resnet-v1"\n'
    own.write_text(table, encoding="utf-8")
    monkeypatch.setenv("SIGHTLINE_MODEL_REGISTRY", str(own))
    monkeypatch.setenv("SIGHTLINE_MODEL_PACK", "mine")
    loaded = embedders(tmp_path).load("dlib-resnet-v1")
    assert (loaded.info.pack, loaded.info.model_id) == ("mine", "dlib-resnet-v1")


def test_an_embedder_names_the_pack_that_it_comes_with(tmp_path: Path) -> None:
    assert RecognitionSettings().model_pack == "yunet-omz"
    assert embedders(tmp_path).load("dlib-resnet-v1").info.pack == "dlib"
