import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from inference.choice import EngineReport
from inference.devices import BUSY, CALM, UNMEASURED, Work, choose_device, is_gpu, kind_of
from inference.engine import EngineInfo
from inference.onnx_engine import PROVIDERS
from inference.opening import tell
from mesh.events import Priority

LIKELY = Work(priority=Priority.NORMAL, batch=3)


@pytest.mark.parametrize(
    ("utilisation", "work", "gpu", "reason"),
    [
        (0.5, LIKELY, True, "free"),
        (0.95, LIKELY, False, "saturated"),
        (None, LIKELY, False, "no_gpu"),
        (None, Work(priority=Priority.URGENT, batch=8), False, "no_gpu"),
        (0.95, Work(priority=Priority.URGENT, batch=1), True, "urgent"),
        (0.1, Work(priority=Priority.LOW, batch=8), False, "low_priority"),
        (0.1, Work(batch=5), True, "large_batch"),
        (0.1, Work(batch=4), True, "free"),
        (0.1, Work(priority=Priority.HIGH, batch=1), False, "single"),
        (0.95, Work(batch=32), False, "saturated"),
        (0.1, Work(batch=8, assigned=False), False, "unassigned"),
        (0.1, Work(priority=Priority.URGENT, batch=8, assigned=False), True, "urgent"),
        (None, Work(batch=8, assigned=False), False, "no_gpu"),
    ],
)
def test_every_row_of_the_matrix(
    utilisation: float | None, work: Work, gpu: bool, reason: str
) -> None:
    choice = choose_device(utilisation, work)
    assert (choice.gpu, choice.reason) == (gpu, reason)


def test_between_calm_and_busy_the_decision_before_holds() -> None:
    decisions = []
    saturated = False
    for utilisation in (0.8, 0.91, 0.85, 0.71, 0.69, 0.85):
        choice = choose_device(utilisation, LIKELY, saturated=saturated)
        saturated = choice.saturated
        decisions.append(choice.gpu)
    assert decisions == [True, False, False, False, True, True]


@given(st.lists(st.floats(CALM, BUSY), max_size=50), st.booleans())
def test_a_load_between_the_limits_never_changes_a_decision(
    loads: list[float], saturated: bool
) -> None:
    for load in loads:
        assert choose_device(load, LIKELY, saturated=saturated).saturated is saturated


@given(st.one_of(st.none(), st.floats(0, 1)), st.booleans(), st.integers(1, 64))
def test_urgent_work_has_the_gpu_whenever_there_is_one(
    utilisation: float | None, saturated: bool, batch: int
) -> None:
    work = Work(priority=Priority.URGENT, batch=batch)
    assert choose_device(utilisation, work, saturated=saturated).gpu is (utilisation is not None)


@pytest.mark.parametrize(("utilisation", "batch"), [(1.1, 1), (-0.1, 1), (0.5, 0)])
def test_impossible_values_are_refused(utilisation: float, batch: int) -> None:
    with pytest.raises(ValueError, match="utilisation 0 to 1"):
        choose_device(utilisation, Work(batch=batch))


def test_every_provider_is_a_cpu_or_a_gpu() -> None:
    assert {kind for kind in PROVIDERS if is_gpu(f"{kind}-0")} == {*PROVIDERS} - {"CPU"}
    assert not is_gpu("cloud")


@pytest.mark.parametrize("device", ["CPU", "GPU-0", "TENSORRT-0", "IGPU"])
def test_the_log_warns_of_a_device_that_nobody_measured(device: str) -> None:
    chosen = EngineInfo(engine="onnxruntime", device=device, precision="f16")
    with capture_logs() as logs:
        tell(EngineReport(model_id="m", wanted="auto", chosen=chosen, reason="the only one"))

    assert [log["event"] for log in logs] == [
        "engine_chosen",
        *(["device_unmeasured"] if kind_of(device) in UNMEASURED else []),
    ]
    assert logs[-1]["device"] == device


def test_what_is_said_to_be_unmeasured_is_described_so() -> None:
    described = {kind for kind, one in PROVIDERS.items() if "Unmeasured" in one.description}
    assert described == UNMEASURED
