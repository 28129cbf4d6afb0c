"""Who is let in under load."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.clock import ManualClock
from mesh.events import Priority
from results.domain.admission import (
    AdmissionPolicy,
    Load,
    UrgentLimit,
    check_admission,
    load_of,
)
from results.domain.errors import ApiError

from .conftest import a_model

POLICY = AdmissionPolicy()
LOWER = [Priority.LOW, Priority.NORMAL, Priority.HIGH]


def admitted(priority: Priority, load: Load) -> bool:
    try:
        check_admission(priority, load, POLICY)
    except ApiError:
        return False
    return True


@given(st.sampled_from(Priority), st.integers(0, 5000), st.floats(0, 1))
def test_a_more_urgent_picture_is_never_refused_where_a_lesser_one_is_let_in(
    priority: Priority, queue: int, utilisation: float
) -> None:
    load = Load(queue=queue, utilisation={"detection": utilisation})
    order = [*LOWER, Priority.URGENT]
    if admitted(priority, load):
        assert all(admitted(higher, load) for higher in order[order.index(priority) :])
    assert admitted(Priority.URGENT, load)


def test_low_priority_is_refused_only_while_every_engine_of_a_stage_is_busy() -> None:
    assert not admitted(Priority.LOW, Load(utilisation={"detection": 0.2, "recognition": 0.91}))
    assert admitted(Priority.LOW, Load(utilisation={"detection": 0.9, "recognition": 0.9}))
    assert admitted(Priority.NORMAL, Load(utilisation={"detection": 1.0}))


def test_a_long_queue_refuses_all_but_the_urgent_until_it_has_drained() -> None:
    load = Load(queue=1100, capacity=10)
    assert [admitted(priority, load) for priority in (*LOWER, Priority.URGENT)] == [False] * 3 + [
        True
    ]
    with pytest.raises(ApiError) as refused:
        check_admission(Priority.HIGH, load, POLICY)
    assert (refused.value.status, refused.value.code) == (429, "OVERLOADED")
    assert refused.value.field == "detection_options.processing.priority"
    assert refused.value.headers["Retry-After"] == "10"
    assert refused.value.envelope()["error"]["limit"] == 1000
    assert refused.value.envelope()["error"]["value"] == 1100
    assert admitted(Priority.LOW, Load(queue=1000))


def test_the_load_counts_the_least_busy_engine_and_the_longest_queue() -> None:
    now = datetime.now(UTC)
    load = load_of(
        [
            a_model(instance_id="a", utilisation=0.95, queue=4, latency_p50_ms=20.0),
            a_model(instance_id="b", utilisation=0.5, queue=3, latency_p50_ms=20.0),
            a_model(task="face-recognition", utilisation=0.7, queue=2, latency_p50_ms=50.0),
            a_model(instance_id="gone", queue=99, heartbeat_at=now - timedelta(minutes=1)),
        ],
        now,
        backlog=5,
    )
    assert load.utilisation == {"detection": 0.5, "recognition": 0.7}
    assert (load.queue, load.capacity, load.latency_ms) == (7, 20.0, 70.0)
    assert load.estimate_ms(10) == 570
    assert load_of([], now, backlog=9) == Load(queue=9)
    assert Load().estimate_ms(3) == 0


def test_the_models_of_one_process_share_its_time_and_its_queue() -> None:
    stands_by = a_model(device="GPU-0", utilisation=0.1, queue=4, latency_p50_ms=2.0)
    load = load_of(
        [
            a_model(utilisation=0.5, queue=4, latency_p50_ms=20.0, throughput_fps=25.0),
            stands_by,
            a_model(
                task="object-detection", service="detection", utilisation=0.3, queue=4,
                latency_p50_ms=90.0,
            ),
        ],
        datetime.now(UTC),
    )  # fmt: skip
    assert load.utilisation == {"detection": 0.8}
    assert (load.queue, load.capacity, load.latency_ms) == (4, 50.0, 20.0)


def test_urgent_pictures_have_a_bucket_per_client_and_camera() -> None:
    clock = ManualClock()
    limit = UrgentLimit(AdmissionPolicy(urgent_per_second=0.5, urgent_burst=2), clock.monotonic)
    limit.check("client", "cam_1")
    limit.check("client", "cam_1")
    limit.check("client", "cam_2")
    limit.check("other", "cam_1")
    with pytest.raises(ApiError) as refused:
        limit.check("client", "cam_1")
    assert (refused.value.status, refused.value.code) == (429, "RATE_LIMITED")
    assert refused.value.headers["Retry-After"] == "2"
    clock.advance(2)
    limit.check("client", "cam_1")
    with pytest.raises(ApiError):
        limit.check("client", "cam_1")


def test_forgotten_buckets_are_full() -> None:
    limit = UrgentLimit(AdmissionPolicy(urgent_per_second=1, urgent_burst=1), lambda: 0.0)
    for number in range(10_001):
        limit.check("client", str(number))
    limit.check("client", "0")
