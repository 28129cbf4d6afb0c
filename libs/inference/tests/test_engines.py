"""One contract for every engine, on networks with the vices of public exports."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libs.inference.tests import networks
from libs.inference.tests.fakes import FakeGpu

from inference.batch_axis import deviation
from inference.batching import BucketedEngine
from inference.engine import Engine, EngineError, EngineOptions, Tensor
from inference.onnx_engine import PROVIDERS, OnnxEngine
from inference.openvino_core import process_core
from inference.openvino_engine import OpenVinoEngine
from mesh.errors import ConfigurationError

Open = Callable[[Path], Engine]


def on_torch(path: Path, options: EngineOptions | None = None, sides: tuple[int, ...] = ()) -> Any:
    """The engine on torch's CPU device, all of it but CUDA itself."""
    pytest.importorskip("torch", reason="the extra inference[torch] is not installed")
    from inference.torch_engine import TorchEngine  # noqa: PLC0415 -- an extra
    from inference.torch_places import Host  # noqa: PLC0415 -- an extra

    return TorchEngine(path, options, sides=sides, place=Host())


ENGINES: dict[str, Open] = {
    "onnxruntime": OnnxEngine,
    "onnxruntime in buckets": lambda path: BucketedEngine(OnnxEngine(path), (1, 2, 4)),
    "onnxruntime as a GPU": FakeGpu,
    "openvino": OpenVinoEngine,
    "openvino at its usual size": lambda path: OpenVinoEngine(path, sides=(3, 32, 48)),
    "openvino in three streams": lambda path: OpenVinoEngine(path, EngineOptions(streams=3)),
    "torch": on_torch,
    "torch in buckets": lambda path: on_torch(path, EngineOptions(max_batch=4), (3, 32, 48)),
}
EVERY_ENGINE = pytest.mark.parametrize("open_engine", ENGINES.values(), ids=ENGINES.keys())
EVERY_NETWORK = pytest.mark.parametrize("network", networks.NETWORKS)


def pictures(count: int, height: int = 32, width: int = 48, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).uniform(0, 255, (count, 3, height, width))
    return values.astype(np.float32)


def alone(engine: Engine, batch: Tensor, name: str) -> Tensor:
    return np.concatenate([engine.run(batch[i : i + 1])[name] for i in range(len(batch))])


@EVERY_ENGINE
@EVERY_NETWORK
def test_every_item_of_a_batch_is_what_it_is_alone(
    open_engine: Open, network: Callable[[Path], Path], tmp_path: Path
) -> None:
    engine = open_engine(network(tmp_path))

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(1, 9), st.integers(0, 100))
    def batch_equals_single(count: int, seed: int) -> None:
        batch = pictures(count, seed=seed)
        for name, values in engine.run(batch).items():
            assert values.dtype == np.float32
            assert values.shape[0] == count
            assert np.allclose(values, alone(engine, batch, name), rtol=1e-4, atol=1e-3)

    batch_equals_single()


@EVERY_ENGINE
def test_sizes_may_change_from_call_to_call(open_engine: Open, tmp_path: Path) -> None:
    engine = open_engine(networks.honest(tmp_path))
    for height, width in ((32, 48), (64, 32), (32, 48), (5, 7)):
        found = engine.run(pictures(2, height, width))
        assert found["map"].shape == (2, 4, height, width)
        assert found["mean"].shape == (2, 4)
        assert np.allclose(found["map"].mean(axis=(2, 3)), found["mean"], rtol=1e-4, atol=1e-3)


@EVERY_ENGINE
@EVERY_NETWORK
def test_engines_agree(open_engine: Open, network: Callable[[Path], Path], tmp_path: Path) -> None:
    path = network(tmp_path)
    batch = pictures(3)
    expected, found = OnnxEngine(path).run(batch), open_engine(path).run(batch)
    assert set(found) == set(expected)
    assert all(deviation(found[name], expected[name]) < 1e-4 for name in found)


@EVERY_ENGINE
@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 5, 32, 48), np.float32),
        np.zeros((0, 3, 32, 48), np.float32),
        np.zeros((3, 32, 48), np.float32),
        np.zeros((1, 3, 32, 48), np.uint8),
    ],
)
def test_what_does_not_fit_is_refused_and_the_engine_goes_on(
    open_engine: Open, batch: Tensor, tmp_path: Path
) -> None:
    engine = open_engine(networks.honest(tmp_path))
    before = engine.run(pictures(2))
    with pytest.raises(EngineError):
        engine.run(batch)
    assert (engine.run(pictures(2))["map"] == before["map"]).all()


@EVERY_ENGINE
def test_outputs_belong_to_the_caller_and_the_input_stays(
    open_engine: Open, tmp_path: Path
) -> None:
    engine = open_engine(networks.honest(tmp_path))
    batch = pictures(2)
    kept = batch.copy()
    first = engine.run(batch)["mean"]
    before = first.copy()
    engine.run(pictures(2, seed=1))
    first += 0
    assert (first == before).all()
    assert (batch == kept).all()


@EVERY_ENGINE
def test_threads_do_not_get_each_others_results(open_engine: Open, tmp_path: Path) -> None:
    engine = open_engine(networks.honest(tmp_path))
    batches = [pictures(1 + seed % 3, seed=seed) for seed in range(12)]
    expected = [engine.run(batch)["mean"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: engine.run(batch)["mean"], batches * 3))
    for values, wanted in zip(found, expected * 3, strict=True):
        assert np.allclose(values, wanted, rtol=1e-4, atol=1e-3)


@EVERY_ENGINE
def test_a_fixed_batch_of_several_is_refused(open_engine: Open, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="n free or 1"):
        open_engine(networks.eight_at_once(tmp_path))


@EVERY_ENGINE
def test_a_file_that_is_no_network_is_refused_by_name(open_engine: Open, tmp_path: Path) -> None:
    path = tmp_path / "nothing.onnx"
    path.write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"nothing\.onnx"):
        open_engine(path)


@EVERY_ENGINE
def test_an_engine_says_what_it_is(open_engine: Open, tmp_path: Path) -> None:
    info = open_engine(networks.honest(tmp_path)).info
    assert str(info) in {
        "onnxruntime f32 on CPU",
        "onnxruntime f32 on GPU-0",
        "openvino f32 on CPU",
        "openvino bf16 on CPU",
        "torch f32 on CPU",
    }


def test_openvino_reads_its_own_format(tmp_path: Path) -> None:
    model = process_core().read_model(networks.honest(tmp_path))
    openvino.save_model(model, tmp_path / "honest.xml", compress_to_fp16=False)
    engine = OpenVinoEngine(tmp_path / "honest.xml", weights=tmp_path / "honest.bin")
    expected = OnnxEngine(tmp_path / "honest.onnx").run(pictures(2))
    assert deviation(engine.run(pictures(2))["mean"], expected["mean"]) < 1e-4


@pytest.mark.parametrize(
    ("open_engine", "options"),
    [
        (OnnxEngine, EngineOptions(device="CPU", precision="bf16")),
        (OnnxEngine, EngineOptions(device="NPU")),
        (OpenVinoEngine, EngineOptions(device="GPU-0")),
    ],
)
def test_what_an_engine_cannot_do_is_refused(
    open_engine: Callable[[Path, EngineOptions], Engine], options: EngineOptions, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError):
        open_engine(networks.honest(tmp_path), options)


def test_half_precision_is_taken_where_the_cpu_has_it_and_refused_elsewhere(
    tmp_path: Path,
) -> None:
    options = EngineOptions(precision="bf16")
    path = networks.honest(tmp_path)
    if "BF16" in process_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert OpenVinoEngine(path, options).info.precision == "bf16"
    else:
        with pytest.raises(ConfigurationError, match="bf16"):
            OpenVinoEngine(path, options)


def test_a_provider_that_nobody_measured_says_so() -> None:
    for kind in ("TENSORRT", "IGPU"):
        assert "Unmeasured" in PROVIDERS[kind].description


@pytest.mark.gpu
def test_torch_agrees_with_onnxruntime(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra inference[torch] is not installed")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    from inference.torch_engine import TorchEngine  # noqa: PLC0415 -- an extra

    path = networks.pyramid(tmp_path)
    options = EngineOptions(device="GPU-0", max_batch=4)
    engine = TorchEngine(path, options, sides=(3, 32, 48))
    for count in (1, 3, 4, 9):
        batch = pictures(count) / np.float32(255)
        expected = OnnxEngine(path).run(batch)["cells"]
        assert deviation(engine.run(batch)["cells"], expected) < 0.03


def test_a_signal_is_handled_after_engines_have_come_and_gone(tmp_path: Path) -> None:
    network = networks.honest(tmp_path)
    program = (
        "import faulthandler, signal, sys; from pathlib import Path\n"
        "from inference.openvino_engine import OpenVinoEngine\n"
        "faulthandler.enable()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "first, second = (OpenVinoEngine(Path(sys.argv[1])) for _ in range(2))\n"
        "first.close(); del first; second.close(); del second\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    words = [sys.executable, "-c", program, str(network)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr
