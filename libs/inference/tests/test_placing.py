"""The decision matrix followed, on engines that keep the contract of `test_engines`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from libs.inference.tests import networks
from libs.inference.tests.fakes import FakeGpu, FakeThreads
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from inference.chain import Chain
from inference.chained import Chained
from inference.engine import Engine, Tensor
from inference.link_health import ChainPolicy
from inference.links import Link
from inference.onnx_engine import OnnxEngine
from inference.placing import Placing
from inference.pool import DevicePool, PooledStage
from mesh.clock import ManualClock
from mesh.events import FrameCaptured, Priority
from mesh.record import Record
from mesh.stage import Emit, Reject
from mesh.testing import a_frame_captured, a_frame_header, a_record


@dataclass(frozen=True, slots=True)
class Info:
    """Where a model runs."""

    device: str
    fallback_used: bool = False


class Means:
    """The means of a network's map: one engine's."""

    def __init__(self, engine: Engine) -> None:
        self.info = Info(engine.info.device)
        self._engine = engine

    def warm_up(self) -> None:
        self.of(np.zeros((1, 3, 8, 8), np.float32))

    def of(self, pictures: Tensor) -> Tensor:
        return self._engine.run(pictures)["mean"]


class ChainedMeans(Chained[Means, Info]):
    """The means by the engine that answers."""

    def of(self, pictures: Tensor) -> Tensor:
        return self._ask(lambda one: one.of(pictures))


class MeaningStage:
    """Runs the model on a picture for each frame; notes what came, and from where."""

    def __init__(self, model: ChainedMeans, pool: DevicePool) -> None:
        self.seen: list[tuple[str, bool]] = []
        self.means: list[Tensor] = []
        self.jobs: dict[str, int] = {}
        self._model = model
        self._pool = pool

    def process(self, batch: Sequence[Record[FrameCaptured]]) -> Sequence[Emit | Reject]:
        self.jobs = {load.device: load.jobs for load in self._pool.loads()}
        if batch:
            self.means.append(self._model.of(pictures(len(batch))))
            self.seen.append((self._model.info.device, self._model.info.fallback_used))
        return [Emit(()) for _ in batch]

    def give_up(
        self, batch: Sequence[Record[FrameCaptured]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        return [Reject(f"{outcome}: {reason}") for _ in batch]


def pictures(count: int) -> Tensor:
    return np.random.default_rng(3).uniform(0, 255, (count, 3, 8, 8)).astype(np.float32)


class World:
    """A service with a GPU and a CPU, whose GPU is as busy, and fails, as it is told."""

    def __init__(
        self,
        network: Path,
        *,
        by_matrix: bool = True,
        device: str = "GPU-0",
        cameras: Sequence[str] = (),
    ) -> None:
        self.clock = ManualClock()
        self.load: float | None = 0.2
        self.asked: list[str] = []
        self.gpu = FakeGpu(network)
        self.gpu.info = replace(self.gpu.info, device=device)
        self.cpu = OnnxEngine(network)
        self.registry = CollectorRegistry()
        placing = Placing(self.registry, by_matrix=by_matrix, cameras=cameras, load=self._load_of)
        chain = Chain(
            [self._link(self.gpu), self._link(self.cpu)],
            policy=ChainPolicy(tolerated=1),
            clock=self.clock,
            threads=FakeThreads(),
        )
        self.model = ChainedMeans(chain, placing.preferred)
        self.pool = DevicePool(
            placing,
            lambda: self.model.serving().device,
            max_jobs=1,
            waiting=lambda: 0,
            items=lambda _: 1,
            clock=self.clock,
        )
        self.stage = MeaningStage(self.model, self.pool)

    def _load_of(self, device: str) -> float | None:
        self.asked.append(device)
        return self.load

    @staticmethod
    def _link(engine: Engine) -> Link[Means]:
        device = engine.info.device
        return Link(
            name=device, device=device, model_id="m", timeout=60.0, build=lambda: Means(engine)
        )

    def send(self, count: int, priority: Priority = Priority.NORMAL, camera: str = "cam_a") -> str:
        """Process a batch; which device computed it."""
        header = a_frame_header(camera_id=camera, priority=priority)
        batch = [a_record(a_frame_captured(frame=header), key=camera)] * count
        PooledStage(self.stage, self.pool).process(batch)
        return self.stage.seen[-1][0]

    def counted(self, device: str, reason: str) -> float | None:
        labels = {"device": device, "reason": reason}
        return self.registry.get_sample_value("sightline_device_batches_total", labels)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return networks.honest(tmp_path)


@pytest.fixture
def world(network: Path) -> World:
    return World(network)


@pytest.mark.parametrize(
    ("load", "count", "priority", "device", "reason"),
    [
        (0.2, 3, Priority.NORMAL, "GPU-0", "free"),
        (0.2, 5, Priority.NORMAL, "GPU-0", "large_batch"),
        (0.2, 1, Priority.NORMAL, "CPU", "single"),
        (0.2, 8, Priority.LOW, "CPU", "low_priority"),
        (0.95, 8, Priority.HIGH, "CPU", "saturated"),
        (0.95, 1, Priority.URGENT, "GPU-0", "urgent"),
        (None, 3, Priority.NORMAL, "GPU-0", "free"),
    ],
)
def test_the_matrix_rules_where_a_batch_is_computed(
    world: World, load: float | None, count: int, priority: Priority, device: str, reason: str
) -> None:
    world.load = load
    assert world.send(count, priority) == device
    assert world.stage.seen == [(device, False)]
    assert world.counted(device, reason) == 1.0
    assert world.gpu.items == ([count] if device == "GPU-0" else [])


@pytest.mark.parametrize(("by_matrix", "reason"), [(True, "large_batch"), (False, "setting")])
def test_a_gpu_computes_for_its_own_cameras_and_for_whoever_is_urgent(
    network: Path, by_matrix: bool, reason: str
) -> None:
    world = World(network, by_matrix=by_matrix, cameras=["cam_a", "cam_b"])
    assert [world.send(8, camera=name) for name in ("cam_b", "cam_c")] == ["GPU-0", "CPU"]
    assert world.send(8, Priority.URGENT, camera="cam_c") == "GPU-0"
    assert world.counted("GPU-0", reason) == (1.0 if by_matrix else 2.0)
    assert world.counted("CPU", "unassigned") == 1.0


def test_one_camera_of_the_gpu_takes_its_batch_there(network: Path) -> None:
    world = World(network, cameras=["cam_a"])
    batch = [a_record(a_frame_captured(), key=name) for name in ("cam_c", "cam_a")]
    PooledStage(world.stage, world.pool).process(batch)
    assert world.stage.seen == [("GPU-0", False)]


def test_whichever_device_computes_a_batch_says_the_same(world: World) -> None:
    for count in (1, 2, 5, 8):
        for priority in (Priority.NORMAL, Priority.LOW):
            world.send(count, priority)
            expected = world.cpu.run(pictures(count))["mean"]
            assert np.allclose(world.stage.means[-1], expected, rtol=1e-4, atol=1e-3)
    assert {device for device, _ in world.stage.seen} == {"GPU-0", "CPU"}


def test_one_urgent_frame_takes_its_batch_to_the_gpu(world: World) -> None:
    world.load = 1.0
    urgent = a_frame_captured(frame=a_frame_header(priority=Priority.URGENT))
    low = a_frame_captured(frame=a_frame_header(priority=Priority.LOW))
    PooledStage(world.stage, world.pool).process([a_record(low), a_record(urgent)])
    assert world.stage.seen == [("GPU-0", False)]


def test_a_busy_gpu_is_relieved_until_it_is_calm_and_the_log_tells_it(world: World) -> None:
    devices = []
    with capture_logs() as logs:
        for world.load in (0.8, 0.91, 0.8, 0.8, 0.69, 0.8):
            devices.append(world.send(2))
    assert devices == ["GPU-0", "CPU", "CPU", "CPU", "GPU-0", "GPU-0"]
    told = [(log["event"], log["utilisation"]) for log in logs if log["log_level"] == "warning"]
    assert told == [("gpu_saturated", 0.91), ("gpu_calm", 0.69)]
    chosen = [log["device"] for log in logs if log["event"] == "device_chosen"]
    assert chosen == devices


def test_a_gpu_that_failed_is_no_gpu_until_it_answers_again(world: World) -> None:
    world.gpu.broken = True
    assert world.send(8) == "CPU"
    assert world.send(8) == "CPU"
    assert world.stage.seen == [("CPU", True)] * 2
    assert (world.counted("GPU-0", "large_batch"), world.counted("CPU", "no_gpu")) == (1.0, 1.0)
    world.gpu.broken = False
    world.clock.advance(5.0)
    built, probed, settled = world.send(1), world.send(1), world.send(1)
    assert (built, probed, settled) == ("CPU", "GPU-0", "CPU")
    assert world.stage.seen[-1] == ("CPU", False)


def test_a_setting_gives_the_gpu_everything(network: Path) -> None:
    world = World(network, by_matrix=False)
    world.load = 1.0
    assert [world.send(1), world.send(8, Priority.LOW)] == ["GPU-0", "GPU-0"]
    assert world.counted("GPU-0", "setting") == 2.0


@pytest.mark.parametrize(("device", "card"), [("TENSORRT-1", "GPU-1"), ("IGPU", "IGPU")])
def test_every_way_to_a_gpu_follows_the_matrix_by_the_load_of_its_card(
    network: Path, device: str, card: str
) -> None:
    world = World(network, device=device)
    assert [world.send(8), world.send(1)] == [device, "CPU"]
    world.load = 0.95
    assert world.send(8) == "CPU"
    assert world.counted(device, "large_batch") == world.counted("CPU", "saturated") == 1.0
    assert set(world.asked) == {card}


def test_what_no_batch_asks_for_goes_to_the_first_device(world: World) -> None:
    world.send(1)
    world.model.of(pictures(1))
    assert [device for device, _ in world.stage.seen] == ["CPU"]
    assert world.model.info.device == "GPU-0"


def test_jobs_and_cameras_are_those_of_the_device_that_has_the_batch(world: World) -> None:
    world.send(8, camera="cam_a")
    assert world.stage.jobs == {"GPU-0": 1}
    world.send(1, camera="cam_b")
    assert world.stage.jobs == {"GPU-0": 0, "CPU": 1}
    cameras = {load.device: load.cameras for load in world.pool.loads()}
    assert cameras == {"GPU-0": ("cam_a",), "CPU": ("cam_b",)}
    world.send(8, camera="cam_b")
    assert [(one.device, one.cameras) for one in world.pool.loads()] == [
        ("GPU-0", ("cam_a", "cam_b"))
    ]


def test_a_batch_without_anything_to_compute_is_placed_nowhere(world: World) -> None:
    PooledStage(world.stage, world.pool).process([])
    assert "sightline_device_batches_total{" not in generate_latest(world.registry).decode()
