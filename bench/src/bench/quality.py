"""What the quality score is worth: does it tell beforehand which faces recognition will know?

A face is missed if it is less like its person than recognition demands. A score is worth
something if errors fall as the faces that it likes least are left out (error versus discard,
Grother and Tabassi 2007; ISO/IEC 29794-1), and if what it says comes true.

Beside the score stand what it was before, what it is where the detector's confidence tells
nothing, and two measures alone. Folds of LFW share no people: the odd ones are there to fit the
weights, the even ones to judge.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contenders import DETECTOR
from bench.figures import say, table
from bench.probes import Probe, Probes
from detection.domain.utility import MEASURED, UNMEASURED, Signs, Weights, signs, utility

DISCARDED = (0.0, 0.05, 0.1, 0.2, 0.3)
"""Shares of the faces that are left out, the worst by a score."""
_BINS = 5
_STEPS = 50

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def worth(seen: Probes, threshold: float) -> dict[str, Any]:
    """What the score is worth, judged on people of the even folds.

    Args:
        seen: faces as detection measures them.
        threshold: least similarity at which a face is known.
    """
    judged = [one for one in seen.found if one.fold % 2 == 0]
    fitting = [one for one in seen.found if one.fold % 2]
    found, known = np.array([_signs(one) for one in fitting]), _known(fitting, threshold)
    return {
        "threshold": threshold,
        "pictures_without_face": seen.faceless,
        "all": _judge(judged, threshold),
        "fit": _judge([one for one in judged if one.fit], threshold),
        "by_way": _by_way(seen.found, threshold),
        "weights": {"measured": MEASURED._asdict(), "unmeasured": UNMEASURED._asdict()},
        "fitted_anew": {
            "measured": fitted(found, known)._asdict(),
            "unmeasured": fitted(found * (0, 1, 1, 1), known)._asdict(),
        },
    }


def by_hand(one: Probe) -> float:
    """What the score was before it was fitted: the geometric mean of five shares."""
    shares = (
        one.side / 112.0,
        math.log1p(one.quality.sharpness) / math.log1p(100.0),
        1.5 - abs(one.quality.brightness - 130.0) / 90.0,
        one.confidence,
        math.cos(math.radians(one.pose.yaw)) * math.cos(math.radians(one.pose.pitch)),
    )
    return one.visible * math.prod(min(max(share, 0.0), 1.0) for share in shares) ** 0.2


def error_versus_discard(scores: Floats, missed: Flags) -> list[float]:
    """The share missed of what is left when the worst by score are discarded; see `DISCARDED`.

    Args:
        scores: higher is better, shape (n,).
        missed: whether recognition missed the face, shape (n,).
    """
    order = np.argsort(scores, kind="stable")
    return [float(missed[order[round(share * len(order)) :]].mean()) for share in DISCARDED]


def reliability(scores: Floats, known: Flags) -> list[dict[str, float]]:
    """What a score says and what comes true, in bins of as many faces each, the worst first."""
    return [
        {
            "faces": len(some),
            "said": float(scores[some].mean()),
            "seen": float(known[some].mean()),
        }
        for some in np.array_split(np.argsort(scores, kind="stable"), _BINS)
    ]


def fitted(found: Floats, known: Flags) -> Weights:
    """Bias and weights of the logistic model, the likeliest ones of which no weight is negative.

    Newton's method; a sign whose weight would be negative is left out with weight 0.

    Args:
        found: signs of the faces, shape (n, 4), as `Signs`.
        known: whether recognition knew them, shape (n,).
    """
    kept = list(range(found.shape[1]))
    while True:
        columns = np.column_stack([np.ones(len(found)), found[:, kept]])
        weights = _newton(columns, known.astype(np.float64))
        worst = int(np.argmin(weights[1:])) if kept else 0
        if not kept or weights[1 + worst] >= 0:
            break
        del kept[worst]
    by_sign = dict(zip(kept, weights[1:].tolist(), strict=True))
    return Weights(float(weights[0]), *(by_sign.get(sign, 0.0) for sign in range(found.shape[1])))


def tell(report: Mapping[str, Any]) -> None:
    """Print error versus discard and reliability."""
    head = ("missed, by what is discarded", "faces", *(f"{100 * one:.0f} %" for one in DISCARDED))
    rows = [
        (f"{name} ({faces})", report[faces]["faces"], *map(_share, curve))
        for faces in ("all", "fit")
        for name, curve in report[faces]["missed"].items()
    ]
    say("\n" + table(head, rows))
    bins = [
        (name, one["faces"], _share(one["said"]), _share(one["seen"]))
        for name, found in report["all"]["reliability"].items()
        for one in found
    ]
    say("\n" + table(("all, by", "faces", "it says", "known"), bins))


def _judge(some: Sequence[Probe], threshold: float) -> dict[str, Any]:
    known = _known(some, threshold)
    rivals = {
        "score": np.array([one.quality.score for one in some]),
        "score without confidence": np.array([_unmeasured(one) for one in some]),
        "by hand": np.array([by_hand(one) for one in some]),
        "confidence": np.array([one.confidence for one in some]),
        "sharpness": np.array([one.quality.sharpness for one in some]),
    }
    return {
        "faces": len(some),
        "missed": {name: error_versus_discard(one, ~known) for name, one in rivals.items()},
        "reliability": {name: reliability(rivals[name], known) for name in ("score", "by hand")},
    }


def _by_way(some: Sequence[Probe], threshold: float) -> dict[str, Any]:
    ways = sorted({one.way for one in some})
    groups = {way: [one for one in some if one.way == way] for way in ways}
    return {
        way: {
            "faces": len(group),
            "missed": float((~_known(group, threshold)).mean()),
            "score": float(np.mean([one.quality.score for one in group])),
        }
        for way, group in groups.items()
    }


def _known(some: Sequence[Probe], threshold: float) -> Flags:
    return np.array([one.similarity >= threshold for one in some], dtype=np.bool_)


def _signs(one: Probe) -> Signs:
    return signs(
        confidence=one.confidence,
        sharpness=one.quality.sharpness,
        brightness=one.quality.brightness,
        pose=one.pose,
        detector=DETECTOR,
    )


def _unmeasured(one: Probe) -> float:
    """The score, had a detector found the face whose confidence nobody measured."""
    sharp = one.quality.sharpness
    found = _signs(one)._replace(certainty=0.0)
    return utility(found, UNMEASURED, sharpness=sharp, visible=one.visible)


def _newton(columns: Floats, known: Floats) -> Floats:
    """Logistic regression; a ridge of 1e-6 keeps a column without spread harmless."""
    weights = np.zeros(columns.shape[1])
    ridge = 1e-6 * np.eye(len(weights))
    for _ in range(_STEPS):
        said = 1.0 / (1.0 + np.exp(-columns @ weights))
        gradient = columns.T @ (known - said) / len(known)
        curvature = (columns * (said * (1.0 - said))[:, None]).T @ columns / len(known)
        step = np.linalg.solve(curvature + ridge, gradient - ridge @ weights)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
