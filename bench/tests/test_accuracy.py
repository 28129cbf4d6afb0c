from typing import Any

import numpy as np
import pytest

from bench.accuracy import figures, goals
from bench.comparison import CHIPS, DIRECT, Result
from bench.contenders import DEFAULT, Contender
from bench.verification import Trials


class Nobody:
    """A detector and an embedder that are not asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def a_result(strangers: int) -> Result:
    """Two pairs of one person in each of two folds, the others of two persons."""
    same = np.array([True] * 4 + [False] * strangers)
    trials = Trials(
        scores=np.where(same, 0.9, 0.1), same=same, folds=np.arange(len(same), dtype=np.int64) % 2
    )
    contender = Contender(model_id=DEFAULT, detector=Nobody(), embedder=Nobody(), threshold=0.5)
    return Result(contender, {CHIPS: trials, DIRECT: trials}, no_face=0)


@pytest.mark.parametrize(
    ("strangers", "loose", "strict"),
    [
        (60, None, None),
        (100, 1.0, None),
        (1000, 1.0, 1.0),
    ],
)
def test_a_false_accept_rate_is_told_only_of_pairs_enough_for_it(
    strangers: int, loose: float | None, strict: float | None
) -> None:
    found = figures(a_result(strangers))

    assert found["tar_at_far_1e2"] == loose
    assert found["tar_at_far_1e3"] == strict
    assert (found["threshold_at_far_1e3"] is None) is (strict is None)


def test_the_goal_says_how_many_folds_and_pairs_it_was_judged_on() -> None:
    found = goals({"people": "LFW", "models": {DEFAULT: figures(a_result(1000))}})

    assert found == {
        "LFW >= 99.2 % through chips (2 folds, 1,004 pairs)": True,
        "chips cost <= 0.1 point": True,
    }


@pytest.mark.parametrize(
    ("score", "found"), [([0.09, 0.05, 0.02], [True, True]), ([0.09, 0.09, 0.08], [False, False])]
)
def test_the_quality_score_is_judged_on_enough_faces_only(
    score: list[float], found: list[bool]
) -> None:
    def judged(faces: int) -> list[bool]:
        curves = {"score": score, "by hand": [0.09, 0.08, 0.07]}
        models = {DEFAULT: figures(a_result(1000))}
        quality = {"all": {"faces": faces, "missed": curves}}
        every = goals({"people": "LFW", "models": models, "quality": quality})
        return [holds for goal, holds in every.items() if goal.startswith("quality")]

    assert judged(500) == found
    assert judged(499) == []
