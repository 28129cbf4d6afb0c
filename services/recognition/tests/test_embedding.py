import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.recognition.tests.arranging import vector

from mesh.events import Embedding
from mesh.testing import an_embedding
from recognition.domain.embedding import from_event, is_zero, mean_of, to_event, unit

floats = st.lists(st.floats(-10, 10, width=32), min_size=8, max_size=8)


@given(floats, st.sampled_from(["float32", "float16"]))
def test_a_vector_survives_its_bytes(values: list[float], dtype: str) -> None:
    original = unit(np.array([values]))[0]
    if is_zero(original):
        return
    restored = from_event(to_event(original, model_id="m", dtype=dtype))
    assert float(original @ restored) > 0.999


def test_rows_without_length_become_zeros() -> None:
    rows = unit(np.array([[0.0, 0.0], [3.0, 4.0], [np.nan, 1.0]]))
    assert rows.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]


def test_the_mean_of_equal_vectors_is_the_vector_and_fully_concentrated() -> None:
    mean = mean_of([vector(1), vector(1), vector(1)])
    assert mean.vector.tolist() == vector(1).tolist()
    assert mean.concentration == pytest.approx(1.0)
    assert mean.count == 3


def test_the_mean_leans_to_the_heavier_vector() -> None:
    mean = mean_of([vector(1), vector(0, 1)], [3.0, 1.0])
    assert mean.vector[0] > mean.vector[1] > 0


def test_weights_of_zero_count_equally() -> None:
    mean = mean_of([vector(1), vector(0, 1)], [0.0, 0.0])
    assert mean.vector[0] == pytest.approx(mean.vector[1])
    assert mean.concentration == pytest.approx(0.5**0.5)


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_of([])


@pytest.mark.parametrize(
    ("embedding", "problem"),
    [
        (an_embedding(dtype="int8"), "dtype must be"),
        (an_embedding(dim=0), "dim must be 1 to 4096"),
        (an_embedding(dim=5), "must have 20 bytes, not 16"),
        (an_embedding(0.0, 0.0), "no length"),
    ],
)
def test_an_embedding_that_is_none_is_refused_by_name(embedding: Embedding, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_event(embedding)


def test_only_known_dtypes_are_written() -> None:
    with pytest.raises(ValueError, match="float16"):
        to_event(vector(1), model_id="m", dtype="int8")
