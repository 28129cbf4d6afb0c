"""What a heartbeat says after another model took over."""

from datetime import timedelta

import pytest
from libs.mesh.tests.fakes import Model

from mesh.clock import ManualClock
from mesh.events import ModelStatus
from mesh.model_status import Duty, ModelHeartbeat, ModelMeter
from mesh.stage import Output


class Nobody:
    def send(self, output: Output) -> None:
        raise AssertionError

    def flush(self, timeout: timedelta) -> None:
        raise AssertionError


class World:
    """A process that can exchange its model."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.meter = ModelMeter(self.clock)
        self.serving = Model("slow", "old")
        self.heartbeat = ModelHeartbeat(
            lambda: self.serving,
            Duty(service="detection", task="face-detection", max_batch=1),
            self.meter,
            instance_id="detection-0",
            producer=Nobody(),
            topic="sightline.model-status",
            events_topic="sightline.events",
            clock=self.clock,
        )

    def beat(self) -> ModelStatus:
        self.clock.advance(1.0)
        return self.heartbeat.status()


def test_another_model_is_not_charged_with_what_the_one_before_did() -> None:
    world = World()
    world.meter.loaded()
    world.meter.worked(4, 4.0)
    for _ in range(8):
        world.meter.failed()
    before = world.beat()
    assert (before.model_id, before.state) == ("slow", "failed")
    assert before.latency_p99_ms == pytest.approx(1000.0)

    world.serving = Model("fast", "new")

    first = world.beat()
    assert (first.model_id, first.pack, first.state) == ("fast", "new", "available")
    assert first.latency_p50_ms is None
    world.meter.worked(1, 0.01)
    assert world.beat().latency_p99_ms == pytest.approx(10.0)


def test_a_model_that_stays_keeps_its_latencies() -> None:
    world = World()
    world.meter.loaded()
    world.meter.worked(1, 0.5)
    assert [world.beat().latency_p50_ms for _ in range(3)] == [pytest.approx(500.0)] * 3


def test_a_model_that_stands_in_while_another_loads_is_still_loading() -> None:
    world = World()
    assert world.beat().state == "loading"
    world.serving = Model("fast", "new")
    assert world.beat().state == "loading"
