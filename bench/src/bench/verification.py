"""One-to-one verification: accuracy at a threshold, by fold, and what a false-accept rate costs.

A pair is accepted if its score reaches the threshold. The protocol is that of Labeled Faces in
the Wild (Huang et al. 2007): folds, their mean, and its standard error.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_FACE = -1.0
"""Score of a pair of which a picture shows no face: never accepted."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Trials:
    """What a model made of labelled pairs; the three arrays have one length.

    Raises:
        ValueError: the lengths differ, or there are no pairs of one of the two kinds.
    """

    scores: NDArray[np.float64]
    """Similarity of each pair, -1 to 1."""
    same: NDArray[np.bool_]
    """Whether it is one person."""
    folds: NDArray[np.int64]
    """The fold that it belongs to."""

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.same) == len(self.folds):
            raise ValueError("scores, same and folds must have one length")
        if not self.same.any() or self.same.all():
            raise ValueError("pairs of one person and pairs of two are needed")

    def part(self, chosen: NDArray[np.bool_]) -> "Trials":
        """The chosen pairs."""
        return Trials(self.scores[chosen], self.same[chosen], self.folds[chosen])


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over folds, shares of 1."""

    mean: float
    std: float
    """Of the folds, with n - 1; 0 for one fold."""
    standard_error: float
    """Of the mean: what LFW's protocol reports."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where a false-accept rate puts the threshold, and what is left of the genuine pairs."""

    far: float
    """Share of pairs of two persons that are accepted; at most what was asked for."""
    tar: float
    """Share of pairs of one person that are accepted."""
    threshold: float


def accuracy(trials: Trials, threshold: float) -> float:
    """Share of pairs that are told right at a threshold."""
    return float(((trials.scores >= threshold) == trials.same).mean())


def by_fold(trials: Trials, threshold: float) -> Spread:
    """Accuracy at a given threshold in each fold."""
    return _spread([accuracy(fold, threshold) for fold in _folds(trials)])


def cross_validated(trials: Trials) -> Spread:
    """Accuracy in each fold at the threshold that is best on the others (LFW's protocol).

    Raises:
        ValueError: there is only one fold.
    """
    numbers = np.unique(trials.folds)
    if len(numbers) < 2:
        raise ValueError("one fold cannot be held against the others")
    return _spread(
        [
            accuracy(
                trials.part(trials.folds == number),
                best_threshold(trials.part(trials.folds != number)),
            )
            for number in numbers
        ]
    )


def best_threshold(trials: Trials) -> float:
    """The threshold of the highest accuracy, half-way between two scores; the lowest of equals."""
    order = np.argsort(trials.scores, kind="stable")
    scores, same = trials.scores[order], trials.same[order]
    # Refusing the first k pairs tells right the k that are two persons and the later of one.
    right = np.concatenate([[0], np.cumsum(~same)]) + np.concatenate(
        [np.cumsum(same[::-1])[::-1], [0]]
    )
    edges = np.concatenate([[scores[0] - 1.0], scores, [scores[-1] + 1.0]])
    between = edges[:-1] < edges[1:]
    k = int(np.argmax(np.where(between, right, -1)))
    halfway = (edges[k] + edges[k + 1]) / 2
    return float(max(halfway, np.nextafter(edges[k], np.inf)))


def operating_point(trials: Trials, far: float) -> OperatingPoint | None:
    """The lowest threshold that accepts at most the share `far` of pairs of two persons.

    None where there are too few such pairs to accept one of them: that would be another rate, 0.
    """
    strangers = np.sort(trials.scores[~trials.same])[::-1]
    if far * len(strangers) < 1 - _ROUNDING:
        return None
    allowed = int(far * len(strangers) + _ROUNDING)
    refused = strangers[allowed] if allowed < len(strangers) else trials.scores.min() - 1.0
    threshold = float(np.nextafter(refused, np.inf))
    return OperatingPoint(
        far=float((strangers >= threshold).mean()),
        tar=float((trials.scores[trials.same] >= threshold).mean()),
        threshold=threshold,
    )


def rates(trials: Trials, threshold: float) -> OperatingPoint:
    """What a given threshold accepts."""
    accepted = trials.scores >= threshold
    return OperatingPoint(
        far=float(accepted[~trials.same].mean()),
        tar=float(accepted[trials.same].mean()),
        threshold=threshold,
    )


def _folds(trials: Trials) -> list[Trials]:
    return [trials.part(trials.folds == number) for number in np.unique(trials.folds)]


def _spread(values: list[float]) -> Spread:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Spread(float(np.mean(values)), std, std / len(values) ** 0.5)
