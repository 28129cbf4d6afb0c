import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.adapters.model_status import ModelHeartbeat
from detection.domain.meter import ModelMeter, percentile
from detection.ports import FaceDetector
from mesh.clock import ManualClock
from mesh.errors import TransientError
from mesh.events import ModelStatus


def heartbeat(
    detector: FaceDetector,
    clock: ManualClock,
    publish: Callable[[ModelStatus], None] = lambda _: None,
) -> ModelHeartbeat:
    return ModelHeartbeat(
        info=detector.info,
        instance_id="detection-0",
        publish=publish,
        waiting=lambda: 3,
        clock=clock,
    )


def test_a_status_tells_how_the_last_second_went(fake_detector: FaceDetector) -> None:
    clock = ManualClock()
    beat = heartbeat(fake_detector, clock)
    beat.loaded()
    beat.worked(4, 0.2)
    beat.worked(1, 0.1)
    clock.advance(1.0)
    status = beat.status()
    assert (status.model_id, status.service, status.state) == (
        "fake-detector",
        "detection",
        "available",
    )
    assert status.utilisation == pytest.approx(0.3)
    assert status.throughput_fps == pytest.approx(5.0)
    assert status.latency_p50_ms == pytest.approx(50.0)
    assert status.latency_p99_ms == pytest.approx(100.0)
    assert (status.queue, status.max_batch) == (3, 8)
    assert status.memory_mb is None or status.memory_mb > 1
    clock.advance(1.0)
    assert beat.status().utilisation == 0.0


def test_a_model_is_loading_until_it_is_warm(fake_detector: FaceDetector) -> None:
    status = heartbeat(fake_detector, ManualClock()).status()
    assert (status.state, status.latency_p50_ms) == ("loading", None)


def test_failures_degrade_a_model_and_many_in_a_row_mean_it_failed(
    fake_detector: FaceDetector,
) -> None:
    beat = heartbeat(fake_detector, ManualClock())
    beat.loaded()
    beat.failed()
    assert beat.status().state == "degraded"
    assert beat.status().state == "available"
    for _ in range(7):
        beat.failed()
    assert beat.status().state == "failed"
    beat.worked(1, 0.1)
    assert beat.status().state == "available"


def test_a_reading_without_time_is_zero() -> None:
    reading = ModelMeter().read(0.0)
    assert (reading.utilisation, reading.throughput) == (0.0, 0.0)


def test_heartbeats_leave_from_their_own_thread_until_the_end(fake_detector: FaceDetector) -> None:
    seen: list[str] = []
    arrived = threading.Event()

    def publish(status: ModelStatus) -> None:
        seen.append(status.model_id)
        arrived.set()
        raise TransientError("the broker is away")

    with heartbeat(fake_detector, ManualClock(), publish):
        assert arrived.wait(5)
    assert seen == ["fake-detector"]
    assert not any(thread.name == "model-status" for thread in threading.enumerate())


def test_a_process_is_ready_once_the_model_is_warm_and_the_broker_answers(
    fake_detector: FaceDetector,
) -> None:
    clock = ManualClock()
    told = threading.Event()

    def publish(_: ModelStatus) -> None:
        told.set()

    beat = heartbeat(fake_detector, clock, publish)
    assert beat.model_check() == "the model is loading"
    assert beat.broker_check() == "the broker has not answered yet"
    beat.loaded()
    with beat:
        assert told.wait(5)
    assert (beat.model_check(), beat.broker_check()) == (None, None)
    clock.advance(11)
    assert beat.broker_check() == "the broker is silent for 11 s"


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None
