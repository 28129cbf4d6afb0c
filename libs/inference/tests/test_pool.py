from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from inference.cards import Memory
from inference.placing import Placing
from inference.pool import DevicePool, PooledStage, PoolMetrics
from mesh.clock import ManualClock
from mesh.record import Record
from mesh.stage import Emit, Reject
from mesh.testing import a_frame_captured, a_record

CARD = Memory(device="GPU-0", name="Card", total_mb=1000, available_mb=400, utilisation=0.25)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pool(clock: ManualClock) -> DevicePool:
    return DevicePool(
        Placing(CollectorRegistry()),
        lambda: "CPU",
        max_jobs=1,
        waiting=lambda: 7,
        items=lambda _: 1,
        clock=clock,
    )


class Watching:
    """A stage that notes what the pool shows while it works."""

    def __init__(self, pool: DevicePool) -> None:
        self.pool = pool
        self.jobs: list[int] = []

    def process(self, batch: Sequence[Record[Any]]) -> Sequence[Emit | Reject]:
        self.jobs += [load.jobs for load in self.pool.loads()]
        if not batch:
            raise KeyError("bug")
        return [Emit(()) for _ in batch]

    def give_up(
        self, batch: Sequence[Record[Any]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        return [Reject(reason) for _ in batch]


def test_a_pool_counts_the_batches_in_hand_and_their_cameras(
    pool: DevicePool, clock: ManualClock
) -> None:
    stage = Watching(pool)
    pooled = PooledStage(stage, pool)
    records = [a_record(a_frame_captured(), key=name) for name in ("cam_b", "cam_a", "cam_b")]
    assert len(pooled.process(records)) == 3
    [load] = pool.loads()
    assert (stage.jobs, load.jobs, load.queue, load.max_jobs) == ([1], 0, 7, 1)
    assert load.cameras == ("cam_a", "cam_b")
    clock.advance(61.0)
    assert [load.cameras for load in pool.loads()] == [()]
    assert pooled.give_up(records[:1], "failed", "poison") == [Reject("poison")]


def test_a_batch_that_raises_is_no_longer_in_hand(pool: DevicePool) -> None:
    with pytest.raises(KeyError):
        PooledStage(Watching(pool), pool).process([])
    assert [load.jobs for load in pool.loads()] == [0]


def test_pool_and_cards_are_metrics(pool: DevicePool) -> None:
    registry = CollectorRegistry()
    PoolMetrics(pool, lambda: [CARD], registry)
    text = generate_latest(registry).decode()
    assert text == generate_latest(registry).decode()
    assert 'sightline_device_queue{device="CPU"} 7.0' in text
    assert 'sightline_gpu_memory_available_mb{device="GPU-0",name="Card"} 400.0' in text
    assert 'sightline_gpu_utilisation{device="GPU-0",name="Card"} 0.25' in text


def test_a_card_that_is_lost_has_no_metrics(pool: DevicePool) -> None:
    registry = CollectorRegistry()
    cards = [CARD]
    PoolMetrics(pool, lambda: cards, registry)
    before = generate_latest(registry).decode()
    cards.clear()
    text = generate_latest(registry).decode()
    assert ("sightline_gpu_utilisation{" in before, "sightline_gpu" in before) == (True, True)
    assert 'device="GPU-0"' not in text
