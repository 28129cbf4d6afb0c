from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libs.mesh.tests.fakes import Model

from mesh.clock import ManualClock
from mesh.errors import TransientError
from mesh.events import LogEvent, ModelStatus
from mesh.model_status import Duty, ModelHeartbeat, ModelMeter, percentile
from mesh.stage import Output


@dataclass(frozen=True)
class ModelOfFile(Model):
    """A model that was loaded from a file."""

    path: str = "/models/fake.onnx"
    precision: str = "bf16"


class Recorder:
    """Publishes into a list and stops the heartbeat; refuses while it is away."""

    def __init__(self, stop: Event) -> None:
        self.sent: list[Output] = []
        self.away = False
        self._stop = stop

    def send(self, output: Output) -> None:
        self.sent.append(output)
        self._stop.set()

    def flush(self, timeout: timedelta) -> None:
        assert timeout > timedelta(0)
        if self.away:
            raise TransientError("the broker is away")


DUTY = Duty(
    service="recognition",
    task="face-recognition",
    max_batch=8,
    waiting=lambda: 3,
    embedding_size=256,
    threshold=lambda: 0.5,
)


class World:
    """A model with its meter and heartbeat."""

    def __init__(self) -> None:
        self.drift: str | None = None
        self.clock = ManualClock()
        self.meter = ModelMeter(self.clock)
        self.stop = Event()
        self.recorder = Recorder(self.stop)
        self.warnings: list[str] = []
        self.heartbeat = ModelHeartbeat(
            Model(),
            replace(DUTY, drift=lambda _: self.drift),
            self.meter,
            instance_id="recognition-0",
            producer=self.recorder,
            topic="sightline.model-status",
            events_topic="sightline.events",
            clock=self.clock,
        )

    def run(self) -> None:
        """One beat."""
        self.stop.clear()
        self.heartbeat.run(self.stop, self.warnings.append)

    @property
    def state(self) -> str:
        return self.heartbeat.status().state


@pytest.fixture
def world() -> World:
    return World()


def test_a_status_tells_how_the_last_second_went(world: World) -> None:
    world.meter.loaded()
    world.meter.worked(4, 0.2)
    world.meter.worked(1, 0.1)
    world.clock.advance(1.0)
    status = world.heartbeat.status()
    assert (status.model_id, status.service, status.state) == ("fake", "recognition", "available")
    assert (status.queue, status.max_batch) == (3, 8)
    assert (status.threshold, status.embedding_size, status.aliases) == (0.5, 256, ("face-v1",))
    assert status.utilisation == pytest.approx(0.3)
    assert status.throughput_fps == pytest.approx(5.0)
    assert status.latency_p50_ms == pytest.approx(50.0)
    assert status.latency_p99_ms == pytest.approx(100.0)
    assert status.memory_mb is None or status.memory_mb > 1
    world.clock.advance(1.0)
    assert world.heartbeat.status().utilisation == 0.0


def test_a_model_is_loading_until_it_is_warm(world: World) -> None:
    status = world.heartbeat.status()
    assert (status.state, status.latency_p50_ms) == ("loading", None)


def test_failures_degrade_a_model_and_many_in_a_row_mean_it_failed(world: World) -> None:
    world.meter.loaded()
    world.meter.failed()
    assert [world.state, world.state] == ["degraded", "available"]
    for _ in range(7):
        world.meter.failed()
    assert world.state == "failed"
    world.meter.worked(1, 0.1)
    assert world.state == "available"


def test_the_state_is_never_better_than_that_of_the_fallback_chain(world: World) -> None:
    told = ["available"]
    world.meter.follow(lambda: told[0])
    assert world.state == "loading"
    world.meter.loaded()
    told[0] = "degraded"
    assert world.state == "degraded"
    told[0] = "failed"
    world.meter.failed()
    assert world.state == "failed"
    told[0] = "available"
    assert world.state == "available"


def test_a_service_may_exchange_its_model(world: World) -> None:
    models = [Model("old"), Model("new")]
    heartbeat = ModelHeartbeat(
        lambda: models[-1],
        lambda: replace(DUTY, embedding_size=len(models)),
        world.meter,
        instance_id="recognition-0",
        producer=world.recorder,
        topic="sightline.model-status",
        events_topic="sightline.events",
        clock=world.clock,
    )
    assert (heartbeat.status().model_id, heartbeat.status().embedding_size) == ("new", 2)
    models.pop()
    assert (heartbeat.status().model_id, heartbeat.status().embedding_size) == ("old", 1)


def test_a_model_tells_of_its_file_if_it_has_one(world: World) -> None:
    models = [Model(), ModelOfFile()]
    heartbeat = ModelHeartbeat(
        models.pop,
        DUTY,
        world.meter,
        instance_id="recognition-0",
        producer=world.recorder,
        topic="sightline.model-status",
        events_topic="sightline.events",
        clock=world.clock,
    )
    told = [heartbeat.status(), heartbeat.status()]
    assert [(each.path, each.precision) for each in told] == [
        ("/models/fake.onnx", "bf16"), (None, None),
    ]  # fmt: skip


def test_a_reading_without_time_is_zero(world: World) -> None:
    reading = world.meter.read()
    assert (reading.utilisation, reading.throughput) == (0.0, 0.0)


def test_a_lost_heartbeat_is_said_and_nothing_else(world: World) -> None:
    world.recorder.away = True
    world.run()
    assert world.warnings == ["the broker is away"]
    (sent,) = world.recorder.sent
    assert isinstance(sent.event, ModelStatus)
    assert (sent.topic, sent.key) == ("sightline.model-status", "fake")
    said = "the broker has not answered yet: the broker is away"
    assert world.heartbeat.broker_check() == said


def test_a_process_is_ready_once_the_model_is_warm_and_the_broker_answers(world: World) -> None:
    checks = world.heartbeat.checks
    assert {name: check() for name, check in checks.items()} == {
        "model": "the model is loading",
        "broker": "the broker has not answered yet",
    }
    world.meter.loaded()
    world.run()
    assert [check() for check in checks.values()] == [None, None]
    world.clock.advance(11)
    assert checks["broker"]() == "the broker is silent for 11 s"


def test_a_file_that_drifted_degrades_its_model_and_is_told_once(world: World) -> None:
    world.meter.loaded()
    world.drift = "model.onnx is altered"
    world.recorder.away = True
    world.run()
    world.recorder.away = False
    world.run()
    world.run()

    statuses = [sent.event for sent in world.recorder.sent if isinstance(sent.event, ModelStatus)]
    told = [sent.event for sent in world.recorder.sent if isinstance(sent.event, LogEvent)]
    assert [status.state for status in statuses] == ["degraded"] * 3
    assert [sent.topic for sent in world.recorder.sent].count("sightline.events") == 2
    event, again = told
    assert event.event_id == again.event_id, "the first was not acknowledged"
    assert (event.event_type, event.severity) == ("model_drift", "error")
    assert "model fake: model.onnx is altered" in event.message

    world.drift = None
    world.run()
    assert world.state == "available"


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None
