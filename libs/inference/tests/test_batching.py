import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.batching import (
    BUCKETS,
    BucketedEngine,
    bucket_for,
    padded,
    portions,
    prepared,
)
from inference.engine import EngineInfo, Outputs, Tensor


class Doubling:
    """An engine that keeps the sizes it was called with."""

    info = EngineInfo(engine="none", device="CPU", precision="f32")

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.closed = False

    def run(self, batch: Tensor) -> Outputs:
        self.sizes.append(len(batch))
        return {"twice": batch * 2, "sum": batch.reshape(len(batch), -1).sum(axis=1)}

    def close(self) -> None:
        self.closed = True


@given(st.integers(1, 200))
def test_portions_hold_every_item_once_in_buckets_that_exist(count: int) -> None:
    cuts = list(portions(count))
    assert [start for start, _, _ in cuts] == list(np.cumsum([0, *(n for _, n, _ in cuts)])[:-1])
    assert sum(size for _, size, _ in cuts) == count
    assert all(bucket in BUCKETS and size <= bucket for _, size, bucket in cuts)
    assert all(size == bucket for _, size, bucket in cuts[:-1])


@given(st.integers(1, 64))
def test_the_bucket_is_the_smallest_that_holds_them(count: int) -> None:
    bucket = bucket_for(count)
    assert bucket >= count
    assert all(other >= bucket or other < count for other in BUCKETS)


@given(st.integers(1, 21))
def test_calls_of_any_size_run_in_prepared_sizes_and_lose_nothing(count: int) -> None:
    engine = Doubling()
    batch = np.arange(count * 3, dtype=np.float32).reshape(count, 3, 1, 1)
    found = BucketedEngine(engine, (8, 1, 4)).run(batch)
    assert set(engine.sizes) <= {1, 4, 8}
    assert (found["twice"] == 2 * batch).all()
    assert (found["sum"] == batch.sum(axis=(1, 2, 3))).all()


def test_padding_adds_zeros_behind_and_nothing_where_it_fits() -> None:
    items = np.ones((3, 2), np.float32)
    assert padded(items, 3) is items
    assert padded(items, 4).tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_closing_closes_the_engine_behind_it() -> None:
    engine = Doubling()
    BucketedEngine(engine).close()
    assert engine.closed


@given(st.integers(1, 64))
def test_what_is_prepared_takes_a_full_call_at_once(most: int) -> None:
    buckets = prepared(most)
    assert len(list(portions(most, buckets))) == 1
    assert buckets[-1] < 2 * most
    assert all(len(list(portions(count, buckets))) == 1 for count in range(1, most + 1))


def test_a_crowd_of_faces_is_one_call_of_a_gpu() -> None:
    assert list(portions(64)) == [(0, 64, 64)]
