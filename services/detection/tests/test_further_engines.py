"""The engines of further models: tried once, while there is time for it."""

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from libs.inference.tests import networks
from structlog.testing import capture_logs
from typing_extensions import override

from detection.adapters.chained import places_of
from detection.adapters.further_engines import FurtherEngines
from detection.settings import DetectionSettings
from inference.engine import EngineOptions
from inference.news import ModelNews, Teller
from mesh.clock import ManualClock
from mesh.errors import ConfigurationError
from mesh.models import InputSpec, ModelRegistry, ModelSpec
from mesh.stage import Output
from mesh.testing import NOON

BOTH = ("openvino", "onnxruntime")
Logs = Sequence[MutableMapping[str, Any]]


class Slow(ManualClock):
    """Every look at it takes a minute."""

    @override
    def monotonic(self) -> float:
        self.advance(60.0)
        return super().monotonic()


class _Silent:
    """Sends nothing."""

    def send(self, output: Output) -> None:
        """Nothing to send to."""

    def flush(self, timeout: timedelta) -> None:
        """Nothing to wait for."""


def a_model(*engines: str) -> ModelSpec:
    model = ModelRegistry.load().models["minifasnet-v2"]
    shape = InputSpec(width=48, height=32)
    name = "-or-".join(engines)
    return replace(model, model_id=name, engine=engines[0], engines=engines, input=shape)


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as told:
        yield told


def engine_of(engines: FurtherEngines, folder: Path, *names: str) -> str:
    """By which engine a small network was opened; it answers."""
    path = networks.honest(folder)
    network = engines.network(a_model(*names), {path.name: path}, EngineOptions())
    assert network.engine.run(np.ones((2, 3, 32, 48), np.float32))["map"].shape == (2, 4, 32, 48)
    network.engine.close()
    return network.engine.info.engine


def tried(logs: Logs) -> list[list[str]]:
    """The engines that were tried each time a network was opened."""
    return [
        [trial["engine"] for trial in log["trials"]]
        for log in logs
        if log["event"] == "engine_chosen"
    ]


def test_engines_are_tried_once_and_what_is_built_anew_runs_on_the_chosen_one(
    tmp_path: Path, logs: Logs
) -> None:
    engines = FurtherEngines(seconds=120.0)
    chosen = engine_of(engines, tmp_path, *BOTH)
    assert engine_of(engines, tmp_path, *BOTH) == chosen
    assert tried(logs) == [["onnxruntime", "openvino"], []]
    assert logs[0]["engine"] == chosen
    fastest = min(logs[0]["trials"], key=lambda trial: trial["run_ms"])
    assert chosen in {fastest["engine"], "onnxruntime"}  # the reference, where both are alike


def test_where_nobody_gives_time_the_first_engine_runs_untried(tmp_path: Path, logs: Logs) -> None:
    assert engine_of(FurtherEngines(), tmp_path, *BOTH) == "openvino"
    assert (tried(logs), len(logs)) == ([[]], 1)


def test_a_model_that_comes_too_late_runs_on_its_first_engine_and_the_log_says_so(
    tmp_path: Path, logs: Logs
) -> None:
    engines = FurtherEngines(seconds=50.0, clock=Slow(NOON))
    engine_of(engines, tmp_path, "onnxruntime")
    assert engine_of(engines, tmp_path, *BOTH) == "openvino"
    assert [log["log_level"] for log in logs] == ["info", "warning", "info"]


def test_trials_that_end_without_an_answer_leave_the_first_engine(
    tmp_path: Path, logs: Logs
) -> None:
    assert engine_of(FurtherEngines(seconds=0.001), tmp_path, *BOTH) == "openvino"
    (warning,) = [log for log in logs if log["log_level"] == "warning"]
    assert "took more than 0.001 s" in warning["reason"]


def test_the_setting_names_an_engine_for_the_models_that_it_is_for(
    tmp_path: Path, logs: Logs
) -> None:
    engines = FurtherEngines(wanted="onnxruntime", seconds=120.0)
    assert engine_of(engines, tmp_path, *BOTH) == "onnxruntime"
    (tmp_path / "other").mkdir()
    other = FurtherEngines(wanted="torch", seconds=120.0)
    assert engine_of(other, tmp_path / "other", "openvino") == "openvino"
    assert tried(logs) == [[], []]


def test_an_input_without_a_size_is_named(tmp_path: Path) -> None:
    model = replace(a_model("onnxruntime"), input=InputSpec(width=0, height=0))
    with pytest.raises(ConfigurationError, match="needs a width and a height"):
        FurtherEngines().network(model, {}, EngineOptions())


def test_the_setting_of_the_service_reaches_further_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: Logs
) -> None:
    teller = Teller(service="detection", task="liveness", instance_id="d-0", topic="events")
    news = ModelNews(teller, _Silent(), ManualClock())
    for wanted in ("auto", "openvino"):
        monkeypatch.setenv("SIGHTLINE_ENGINE", wanted)
        engines = places_of(DetectionSettings.load(), news, lambda: None).engines
        engine_of(engines, tmp_path, "onnxruntime", "openvino")
    assert tried(logs) == [["onnxruntime", "openvino"], []]
    assert logs[-1]["engine"] == "openvino"
