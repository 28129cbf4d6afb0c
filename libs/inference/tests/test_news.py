import threading
from datetime import timedelta

import pytest

from inference.link_health import LinkState
from inference.links import Change, Link
from inference.news import ModelNews, Teller
from mesh.clock import ManualClock
from mesh.errors import TransientError
from mesh.events import LogEvent, SwitchModel
from mesh.stage import Output
from mesh.testing import NOON

TELLER = Teller(
    service="detection", task="face-detection", instance_id="detection-0", topic="sightline.events"
)
GPU, CPU = (
    Link(name=device, device=device, model_id="yunet", timeout=5.0, build=object)
    for device in ("GPU-0", "CPU")
)
COMMAND = SwitchModel(
    model_id="scrfd", task="face-detection", requested_by="usr_1", requested_at=NOON
)


class Recorder:
    """Publishes into a list; refuses while it is away."""

    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.away = False

    def send(self, output: Output) -> None:
        if self.away:
            raise TransientError("the broker is away")
        self.sent.append(output)

    def flush(self, timeout: timedelta) -> None:
        assert timeout > timedelta(0)


class World:
    def __init__(self) -> None:
        self.recorder = Recorder()
        self.news = ModelNews(TELLER, self.recorder, ManualClock(NOON))

    def told(self) -> list[LogEvent]:
        self.news.publish()
        return [output.event for output in self.recorder.sent if isinstance(output.event, LogEvent)]


@pytest.fixture
def world() -> World:
    return World()


def test_a_fallback_names_both_models_and_the_reason(world: World) -> None:
    world.news.changed(Change("model_fallback", GPU, LinkState.FAILED, "no answer", CPU))
    (event,) = world.told()
    assert (event.event_type, event.severity, event.service) == (
        "model_fallback",
        "warning",
        "detection",
    )
    assert event.message == "yunet on CPU stands in for yunet on GPU-0: no answer"
    assert event.attributes["primary_model"] == event.attributes["fallback_model"] == "yunet"
    assert event.attributes["fallback_device"] == "CPU"
    (sent,) = world.recorder.sent
    assert (sent.topic, sent.key) == ("sightline.events", "yunet")


@pytest.mark.parametrize(
    ("kind", "state", "severity"),
    [
        ("model_degraded", LinkState.DEGRADED, "warning"),
        ("model_degraded", LinkState.FAILED, "error"),
        ("model_restored", LinkState.AVAILABLE, "info"),
    ],
)
def test_the_state_of_a_link_is_told(
    world: World, kind: str, state: LinkState, severity: str
) -> None:
    world.news.changed(Change(kind, GPU, state, "why"))
    (event,) = world.told()
    assert (event.severity, event.message) == (severity, f"yunet on GPU-0 is {state}: why")
    assert event.attributes["state"] == state


def test_a_further_model_has_a_task_of_its_own(world: World) -> None:
    change = Change("model_degraded", GPU, LinkState.DEGRADED, "slow")
    world.news.changed(change)
    world.news.changed(change, task="liveness")
    assert [event.attributes["task"] for event in world.told()] == [TELLER.task, "liveness"]


def test_a_switch_and_a_refusal_are_the_same_event_however_often_they_are_told(
    world: World,
) -> None:
    for _ in range(2):
        world.news.switched(COMMAND, "yunet")
        world.news.refused(COMMAND, "yunet", "a file is missing")
    first, second, third, fourth = world.told()
    assert (first.event_id, second.event_id) == (third.event_id, fourth.event_id)
    assert first.event_id != second.event_id
    assert first.message == "scrfd serves face-detection now instead of yunet"
    assert second.message.endswith("a file is missing; yunet goes on")
    assert second.attributes["requested_by"] == "usr_1"


def test_a_broker_that_is_away_is_waited_for(world: World) -> None:
    stop, warnings = threading.Event(), list[str]()
    world.recorder.away = True
    world.news.switched(COMMAND, "yunet")

    def warn(message: str) -> None:
        warnings.append(message)
        stop.set()

    world.news.run(stop, warn)
    assert warnings == ["the broker is away"]
    world.recorder.away = False
    assert len(world.told()) == 1


def test_telling_never_blocks_and_keeps_the_newest(world: World) -> None:
    for number in range(1100):
        world.news.changed(Change("model_degraded", GPU, LinkState.DEGRADED, str(number)))
    told = world.told()
    assert (len(told), told[-1].attributes["reason"]) == (1000, "1099")
