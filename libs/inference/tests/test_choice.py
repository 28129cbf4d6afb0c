from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.inference.tests import networks
from structlog.testing import capture_logs

from inference.candidates import candidates
from inference.choice import (
    LEAD,
    Candidate,
    EngineReport,
    NoEngineError,
    choose,
    decide,
    take,
)
from inference.engine import Engine, EngineError, EngineInfo, EngineOptions, Outputs, Tensor
from inference.measuring import TOLERANCE, Trial
from inference.opening import open_engine
from inference.suiting import devices_for
from mesh.clock import ManualClock
from mesh.errors import ConfigurationError
from mesh.models import ModelFile, ModelSpec

SAMPLE = np.ones((1, 3, 4, 4), np.float32)


def info(engine: str = "onnxruntime", precision: str = "f32") -> EngineInfo:
    return EngineInfo(engine=engine, device="CPU", precision=precision)


def trial(seconds: float, deviation: float = 0.0, *, eligible: bool = True) -> Trial:
    return Trial(info=info(), seconds=seconds, deviation=deviation, eligible=eligible)


def test_the_fastest_is_kept_with_the_reason() -> None:
    kept, reason = decide([trial(0.010), trial(0.004), trial(0.006)])
    assert kept == 1
    assert "4.00 ms" in reason
    assert "10.00 ms" in reason


def test_an_engine_that_deviates_is_not_kept_however_fast() -> None:
    kept, reason = decide([trial(0.010), trial(0.001, 0.5)])
    assert kept == 0
    assert "deviates by 0.500" in reason


def test_equals_do_not_take_the_first_ones_place() -> None:
    assert decide([trial(0.010), trial(0.0099)])[0] == 0
    assert decide([trial(0.010), trial(0.010 * LEAD * 0.99)])[0] == 1


def test_a_reference_for_comparison_only_is_never_kept() -> None:
    assert decide([trial(0.001, eligible=False), trial(0.010)])[0] == 1
    with pytest.raises(ValueError, match="no engine agrees"):
        decide([trial(0.001, eligible=False), trial(0.010, 1.0)])


@given(st.lists(st.builds(trial, st.floats(1e-4, 1), st.floats(0, 0.1)), min_size=1, max_size=5))
def test_what_is_kept_agrees_and_is_hardly_slower_than_any_that_agrees(
    trials: list[Trial],
) -> None:
    trials = [trial(0.5), *trials]
    kept, _ = decide(trials)
    assert trials[kept].agrees
    assert all(trials[kept].seconds * LEAD <= other.seconds for other in trials if other.agrees)


def test_less_precise_engines_may_deviate_more() -> None:
    assert TOLERANCE["f32"] < TOLERANCE["f16"] < TOLERANCE["bf16"]


class Scripted:
    """An engine that takes a time of its own and answers with a factor of the input."""

    def __init__(
        self,
        name: str,
        clock: ManualClock,
        *,
        seconds: float,
        factor: float = 1.0,
        runs: int = 100,
    ) -> None:
        self.info = info(name)
        self.closed = False
        self._left = runs
        self._clock, self._seconds, self._factor = clock, seconds, factor

    def run(self, batch: Tensor) -> Outputs:
        self._left -= 1
        if self._factor == 0 or self._left < 0:
            raise EngineError("it cannot")
        self._clock.sleep(self._seconds)
        return {"values": batch * np.float32(self._factor)}

    def close(self) -> None:
        self.closed = True


def candidate(engine: Engine) -> Candidate:
    return Candidate(name=engine.info.engine, open=lambda: engine)


def missing() -> Engine:
    raise ConfigurationError("it is not installed")


class TestChoosing:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    def test_the_fastest_that_agrees_stays_open_and_the_others_are_closed(
        self, clock: ManualClock
    ) -> None:
        slow = Scripted("onnxruntime", clock, seconds=0.02)
        fast = Scripted("openvino", clock, seconds=0.01)
        wrong = Scripted("torch", clock, seconds=0.001, factor=2)
        engine, report = choose("m", [*map(candidate, (slow, fast, wrong))], SAMPLE, clock=clock)
        assert engine is fast
        assert (slow.closed, fast.closed, wrong.closed) == (True, False, True)
        assert report.chosen == fast.info
        assert [round(item.seconds, 4) for item in report.trials] == [0.02, 0.01, 0.001]
        assert [item.agrees for item in report.trials] == [True, True, False]

    def test_engines_that_cannot_be_opened_or_run_are_named(self, clock: ManualClock) -> None:
        fit = Scripted("onnxruntime", clock, seconds=0.01)
        broken = Scripted("openvino", clock, seconds=0.01, factor=0)
        absent = Candidate(name="torch", open=missing)
        engine, report = choose(
            "m", [candidate(fit), candidate(broken), absent], SAMPLE, clock=clock
        )
        assert engine is fit
        assert {refusal.reason for refusal in report.refused} == {
            "it is not installed",
            "it cannot",
        }

    def test_an_engine_that_fails_while_it_is_timed_is_not_chosen(self, clock: ManualClock) -> None:
        fit = Scripted("openvino", clock, seconds=0.02)
        tired = Scripted("onnxruntime", clock, seconds=0.01, runs=5)
        engine, report = choose("m", [*map(candidate, (tired, fit))], SAMPLE, clock=clock)
        assert engine is fit
        assert (tired.closed, len(report.trials)) == (True, 1)
        assert [one.reason for one in report.refused] == ["it cannot"]

    def test_where_the_best_does_not_open_here_the_next_best_is_taken(
        self, clock: ManualClock
    ) -> None:
        fit = Scripted("openvino", clock, seconds=0.02)
        here = [Candidate(name="onnxruntime", open=missing), candidate(fit)]
        done = [trial(0.01), Trial(info=fit.info, seconds=0.02, deviation=0.0)]
        engine, report = take("m", here, done, [])
        assert engine is fit
        assert report.chosen == fit.info
        assert [(one.engine, one.reason) for one in report.refused] == [
            ("onnxruntime", "it is not installed")
        ]
        with pytest.raises(NoEngineError, match="onnxruntime: it is not installed"):
            take("m", here[:1], done[:1], [])

    def test_the_setting_overrules_and_measures_nothing(self, clock: ManualClock) -> None:
        engines = [
            Scripted("onnxruntime", clock, seconds=0.01),
            Scripted("openvino", clock, seconds=0.09),
        ]
        before = clock.monotonic()
        engine, report = choose(
            "m", [*map(candidate, engines)], SAMPLE, clock=clock, wanted="openvino"
        )
        assert engine is engines[1]
        assert report.reason == "the setting"
        assert clock.monotonic() == before

    def test_a_wanted_engine_that_cannot_be_had_refuses_the_start(self, clock: ManualClock) -> None:
        fit = candidate(Scripted("onnxruntime", clock, seconds=0.01))
        absent = Candidate(name="torch", open=missing)
        with pytest.raises(ConfigurationError, match="torch: it is not installed"):
            choose("m", [fit, absent], SAMPLE, clock=clock, wanted="torch")

    def test_where_only_the_reference_can_run_nothing_is_chosen(self, clock: ManualClock) -> None:
        engine = Scripted("onnxruntime", clock, seconds=0.01)
        reference = Candidate(name="onnxruntime", open=lambda: engine, eligible=False)
        absent = Candidate(name="torch", open=missing)
        with pytest.raises(ConfigurationError, match="no engine auto"):
            choose("m", [reference, absent], SAMPLE, clock=clock)


def spec(*engines: str) -> ModelSpec:
    return ModelSpec(
        model_id="small",
        task="face-detection",
        name="small",
        version="1",
        engine=engines[0],
        engines=engines,
        licence="MIT",
        commercial=True,
        files=(ModelFile(name="honest.onnx", bytes=1, sha256="0" * 64),),
    )


def test_the_engines_of_this_machine_are_measured_on_a_real_network(tmp_path: Path) -> None:
    files = {"honest.onnx": networks.honest(tmp_path)}
    sample = np.ones((1, 3, 64, 64), np.float32)
    with capture_logs() as logs:
        engine, report = open_engine(
            spec("onnxruntime", "openvino", "torch"), files, sample, options=EngineOptions()
        )
    assert engine.run(sample)["map"].shape == (1, 4, 64, 64)
    assert {item.info.engine for item in report.trials} == {"onnxruntime", "openvino"}
    assert all(item.agrees for item in report.trials)
    assert logs[0]["event"] == "engine_chosen"
    assert logs[0]["engine"] == engine.info.engine


@pytest.mark.parametrize("wanted", ["onnxruntime", "openvino"])
def test_an_engine_is_taken_by_name(wanted: str, tmp_path: Path) -> None:
    files = {"honest.onnx": networks.honest(tmp_path)}
    engine, _ = open_engine(
        spec("onnxruntime", "openvino"), files, SAMPLE, options=EngineOptions(), wanted=wanted
    )
    assert engine.info.engine == wanted


def test_an_openvino_model_is_not_for_onnxruntime(tmp_path: Path) -> None:
    path = tmp_path / "network.xml"
    with pytest.raises(ConfigurationError, match=r"needs a \.onnx file"):
        open_engine(spec("onnxruntime"), {"network.xml": path}, SAMPLE, options=EngineOptions())


def test_on_a_gpu_the_cpu_is_only_the_reference() -> None:
    found = candidates(("onnxruntime", "openvino", "torch"), {}, EngineOptions(device="GPU-0"))
    assert [(item.name, item.eligible) for item in found] == [
        ("onnxruntime", False),
        ("onnxruntime", True),
        ("torch", True),
    ]


def test_a_device_that_no_engine_of_a_model_is_for_is_left_out_and_the_log_tells_it() -> None:
    both, other, own = spec("openvino", "torch"), spec("openvino"), spec("dlib")
    assert devices_for(("GPU-0", "CPU"), both) == ["GPU-0", "CPU"]
    with capture_logs() as logs:
        found = [devices_for(("GPU-0", "CPU"), *of) for of in ([other], [both, other], [own])]
    assert found == [["CPU"]] * 3
    assert [(log["log_level"], log["device"]) for log in logs] == [("warning", "GPU-0")] * 3
    assert devices_for(("IGPU", "CPU"), spec("onnxruntime")) == ["IGPU", "CPU"]


def test_a_device_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    files = {"honest.onnx": networks.honest(tmp_path)}
    with pytest.raises(ConfigurationError, match="TENSORRT-0"):
        open_engine(
            spec("onnxruntime", "openvino"),
            files,
            SAMPLE,
            options=EngineOptions(device="TENSORRT-0"),
        )


def test_a_report_is_plain_data() -> None:
    report = EngineReport(
        model_id="m",
        wanted="auto",
        chosen=info(),
        reason="it is the only one",
        trials=(trial(0.01),),
    )
    assert report.fields()["trials"] == [
        {
            "engine": "onnxruntime",
            "device": "CPU",
            "precision": "f32",
            "run_ms": 10.0,
            "deviation": 0.0,
            "agrees": True,
        }
    ]
