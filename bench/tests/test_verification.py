import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.verification import (
    Trials,
    accuracy,
    best_threshold,
    by_fold,
    cross_validated,
    operating_point,
    rates,
)

scores = st.lists(st.floats(-1, 1), min_size=4, max_size=60)


def trials(genuine: list[float], strangers: list[float], folds: list[int] | None = None) -> Trials:
    both = [*genuine, *strangers]
    return Trials(
        scores=np.array(both, dtype=np.float64),
        same=np.array([True] * len(genuine) + [False] * len(strangers)),
        folds=np.array(folds or [1] * len(both), dtype=np.int64),
    )


def test_accuracy_counts_both_kinds_of_error_and_a_score_on_the_threshold_is_accepted() -> None:
    pairs = trials([0.9, 0.5, 0.2], [0.5, 0.1, 0.0, -0.3, -0.4])

    assert accuracy(pairs, 0.5) == pytest.approx(6 / 8)
    assert accuracy(pairs, 0.51) == pytest.approx(6 / 8)
    assert accuracy(pairs, 0.15) == pytest.approx(7 / 8)


def test_a_false_accept_rate_is_never_exceeded_and_used_up_as_far_as_it_goes() -> None:
    strangers = [i / 1000 for i in range(1000)]
    pairs = trials([0.9985, 0.997, 0.5, 2.0], strangers)

    point, loose = operating_point(pairs, 1e-3), operating_point(pairs, 1e-2)

    assert point is not None
    assert loose is not None
    assert point.far == pytest.approx(0.001)
    assert 0.998 < point.threshold < 0.999
    assert point.tar == pytest.approx(0.5)
    assert loose.far == pytest.approx(0.01)
    assert loose.tar == pytest.approx(0.75)


def test_too_few_strangers_for_a_rate_tell_nothing_about_it() -> None:
    assert operating_point(trials([0.6, 0.3], [0.1] * 999), 1e-3) is None
    assert operating_point(trials([0.6, 0.3], [0.1] * 1000), 1e-3) is not None


def test_a_false_accept_rate_of_one_accepts_everybody() -> None:
    point = operating_point(trials([-0.9, 0.3], [0.1, 0.4]), 1.0)

    assert point is not None
    assert (point.far, point.tar) == (1.0, 1.0)


def test_strangers_that_tie_at_the_threshold_are_all_refused() -> None:
    point = operating_point(trials([0.6, 0.5], [0.5, 0.5, 0.5, 0.1]), 0.5)

    assert point is not None
    assert point.far == 0.0
    assert point.tar == 0.5


def test_the_best_threshold_lies_half_way_between_the_scores_that_it_parts() -> None:
    assert best_threshold(trials([0.9, 0.6], [0.1, 0.4])) == pytest.approx(0.5)
    assert best_threshold(trials([0.9, 0.1], [0.2, 0.3])) == pytest.approx(0.6)


@settings(deadline=None)
@given(scores, scores)
def test_no_threshold_beats_the_best_one(genuine: list[float], strangers: list[float]) -> None:
    pairs = trials(genuine, strangers)
    tried = [*np.unique(pairs.scores), 2.0, -2.0]

    best = accuracy(pairs, best_threshold(pairs))

    assert best == pytest.approx(max(accuracy(pairs, value) for value in tried))


def test_folds_are_averaged_with_their_spread() -> None:
    pairs = trials([0.9, 0.9, 0.9, 0.1], [0.1, 0.1, 0.1, 0.9], folds=[1, 1, 2, 2, 1, 1, 2, 2])

    spread = by_fold(pairs, 0.5)

    assert spread.mean == pytest.approx(0.75)
    assert spread.std == pytest.approx(0.5 / 2**0.5)
    assert spread.standard_error == pytest.approx(0.25)


def test_one_fold_has_no_spread_and_cannot_be_cross_validated() -> None:
    pairs = trials([0.9], [0.1])

    assert by_fold(pairs, 0.5).std == 0.0
    with pytest.raises(ValueError, match="one fold"):
        cross_validated(pairs)


def test_the_threshold_of_a_fold_comes_from_the_others() -> None:
    # Each fold alone is told right by a threshold of its own, which is wrong for the other.
    pairs = trials([0.9, 0.4], [0.6, 0.1], folds=[1, 2, 1, 2])

    assert cross_validated(pairs).mean == pytest.approx(0.5)


def test_a_given_threshold_has_its_own_rates() -> None:
    point = rates(trials([0.9, 0.3], [0.4, 0.1, 0.2, 0.3]), 0.3)

    assert (point.tar, point.far, point.threshold) == (1.0, 0.5, 0.3)


def test_pairs_of_one_kind_only_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs of two"):
        trials([0.5], [])
    with pytest.raises(ValueError, match="one length"):
        Trials(np.zeros(2), np.array([True, False]), np.zeros(3, np.int64))
