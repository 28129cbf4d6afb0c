"""How often the product tells people apart rightly, and what its own way costs of that.

The product's way is the detector of the pack, a face chip as detection cuts it, and the embedder,
which aligns it. Beside it the same faces are aligned from every pixel of the picture. Thresholds
are those that recognition applies; figures that are chosen on the pairs themselves say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bench import quality, sights
from bench.comparison import CHIPS, DIRECT, Result, compare
from bench.contenders import DEFAULT, DETECTOR, FUSED, detectors_at_hand, lineup
from bench.figures import say, table
from bench.machine import in_words, machine
from bench.material import LFW, labelled
from bench.pairs import Pair, read_pairs, sample
from bench.probes import probes
from bench.readings import readings
from bench.verification import Trials, by_fold, cross_validated, operating_point, rates
from detection.domain.chip import GRADES
from mesh.models import ModelStore

_LEAST, _COST = 0.992, 0.001
_ENOUGH = 500
"""Faces: with fewer the worth of the quality score is told, but not judged."""
_FARS: Mapping[str, float] = MappingProxyType({"1e2": 1e-2, "1e3": 1e-3})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Whose pictures, and how many of them."""

    people: Path | None = None
    """Folder of pictures; LFW's where none is named."""
    pairs: Path | None = None
    """CSV of labelled pairs; `pairs.csv` in that folder where none is named."""
    limit: int | None = None
    """Pairs; all where none is named."""
    models: tuple[str, ...] = ()
    """Embedders by their model_id; all at hand where none is named."""
    threads: int = 2
    """Of an engine."""


def measure(store: ModelStore, options: Options) -> dict[str, Any]:
    """Compare all pairs with every model at hand, then look at what else is labelled.

    Raises:
        ConfigurationError: the pictures or pairs cannot be had.
    """
    folder = options.people or labelled() / LFW
    pairs = read_pairs(options.pairs or folder / "pairs.csv", folder)
    found = lineup(store, options.threads, only=options.models)
    results = []
    for one in found.contenders:
        grades = GRADES[-1:] if one.model_id == DEFAULT else ()
        results.append(compare(one, pairs, limit=options.limit, grades=grades))
        say(f"  {_share(figures(results[-1])['lfw_accuracy'])}")
    report = {
        "machine": machine(),
        "people": "LFW" if options.people is None else folder.name,
        "models": {one.contender.model_id: figures(one) for one in results} | _fused(results),
        "absent": dict(found.absent),
        "chips": _chips(results),
    }
    if options.people is None:
        report |= _sights(store, labelled(), options.threads) | _quality(results, pairs, options)
    report["goals"] = goals(report)
    _tell(report)
    return report


def figures(result: Result) -> dict[str, Any]:
    """Everything about one model."""
    threshold = result.contender.threshold
    return _beside(_of(result.trials[CHIPS], threshold), _of(result.trials[DIRECT], threshold)) | {
        "pictures_without_face": result.no_face
    }


def goals(report: Mapping[str, Any]) -> dict[str, bool]:
    """Which goals hold; they are about LFW and the default pack."""
    found = report["models"].get(DEFAULT)
    if report["people"] != "LFW" or found is None:
        return {}
    seen = f"{found['folds']} folds, {found['pairs']:,} pairs"
    return {
        f"LFW >= 99.2 % through chips ({seen})": found["lfw_accuracy"] >= _LEAST,
        "chips cost <= 0.1 point": found["cost_of_chips"] <= _COST,
    } | _of_quality(report)


def _of_quality(report: Mapping[str, Any]) -> dict[str, bool]:
    if "quality" not in report or report["quality"]["all"]["faces"] < _ENOUGH:
        return {}
    curves = report["quality"]["all"]["missed"]
    ours, before = curves["score"], curves["by hand"]
    return {
        "quality: the more are discarded the fewer are missed": all(
            more > fewer for more, fewer in pairwise(ours)
        ),
        "quality: fewer than with the score made by hand": all(
            one < other for one, other in zip(ours[1:], before[1:], strict=True)
        ),
    }


def _of(trials: Trials, threshold: float | None) -> dict[str, Any]:
    """Without a shipped threshold each fold is judged at the best one of the others."""
    other = cross_validated(trials)
    spread = other if threshold is None else by_fold(trials, threshold)
    found: dict[str, Any] = {
        "lfw_accuracy": spread.mean,
        "std": spread.std,
        "standard_error": spread.standard_error,
        "threshold": threshold,
        "cross_validated": asdict(other),
        "pairs": len(trials.scores),
        "folds": len(np.unique(trials.folds)),
    }
    for name, far in _FARS.items():
        point = operating_point(trials, far)
        found[f"tar_at_far_{name}"] = None if point is None else point.tar
        found[f"threshold_at_far_{name}"] = None if point is None else point.threshold
    if threshold is not None:
        at = rates(trials, threshold)
        found |= {"tar": at.tar, "far": at.far}
    return found


def _beside(chips: dict[str, Any], direct: dict[str, Any]) -> dict[str, Any]:
    cost = direct["lfw_accuracy"] - chips["lfw_accuracy"]
    return chips | {"direct": direct, "cost_of_chips": round(cost, 6)}


def _fused(results: Sequence[Result]) -> dict[str, Any]:
    """The mean cosine of the two small models, if both are there; they see the same pairs."""
    parts = {one.contender.model_id: one for one in results if one.contender.model_id in FUSED}
    if len(parts) < len(FUSED):
        return {}
    ways = {}
    for way in (CHIPS, DIRECT):
        trials = [parts[name].trials[way] for name in FUSED]
        scores = np.mean([one.scores for one in trials], axis=0)
        ways[way] = _of(Trials(scores, trials[0].same, trials[0].folds), None)
    return {f"mean of {' and '.join(FUSED)}": _beside(ways[CHIPS], ways[DIRECT])}


def _chips(results: Sequence[Result]) -> dict[str, Any]:
    """The default embedder, by the quality of the chips."""
    return {
        way: _of(trials, one.contender.threshold)
        for one in results
        if one.contender.model_id == DEFAULT
        for way, trials in one.trials.items()
    }


def _sights(store: ModelStore, data: Path, threads: int) -> dict[str, Any]:
    """What detectors and further models make of the other labelled pictures."""
    detectors = detectors_at_hand(store, threads)
    heads = sights.spread(sorted((data / LFW).glob("*.jpg")))
    further: dict[str, Any] = {}
    if DETECTOR in detectors:
        further = readings(store, detectors[DETECTOR], data / "images", heads)
    return {
        "detection": {
            name: sights.count_faces(one, data / "images") for name, one in detectors.items()
        },
        "pose": {name: sights.pose_signs(one, heads) for name, one in detectors.items()},
        "readings": further,
    }


def _quality(results: Sequence[Result], pairs: Sequence[Pair], options: Options) -> dict[str, Any]:
    """What the quality score is worth to the default pack."""
    for one in results:
        ours, threshold = one.contender, one.contender.threshold
        if ours.model_id == DEFAULT and threshold is not None:
            seen = probes(ours, sample(pairs, options.limit))
            return {"quality": quality.worth(seen, threshold)}
    return {}


def _tell(report: Mapping[str, Any]) -> None:
    say(f"\n{in_words(report['machine'])}\n")
    head = (
        "model", "pairs", "accuracy", "at", "best of the other folds", "TAR at FAR 1e-2", "1e-3",
        "direct", "chips cost",
    )  # fmt: skip
    say(table(head, [_row(name, one) for name, one in report["models"].items()]))
    for name, reason in report["absent"].items():
        say(f"{name}: {reason}")
    rows = [
        (way, _share(one["lfw_accuracy"]), _at_far(one, "1e3"))
        for way, one in report["chips"].items()
    ]
    say("\n" + table(("faces of the default pack as", "accuracy", "TAR at FAR 1e-3"), rows))
    if "detection" in report:
        sights.tell(report)
    if "quality" in report:
        quality.tell(report["quality"])
    for goal, holds in report["goals"].items():
        say(f"{'holds ' if holds else 'MISSED'}  {goal}")


def _row(name: str, one: Mapping[str, Any]) -> tuple[object, ...]:
    at = "-" if one["threshold"] is None else f"{one['threshold']:.3f}"
    return (
        name,
        one["pairs"],
        f"{_share(one['lfw_accuracy'])} ± {100 * one['std']:.2f}",
        at,
        _share(one["cross_validated"]["mean"]),
        _at_far(one, "1e2"),
        _at_far(one, "1e3"),
        _share(one["direct"]["lfw_accuracy"]),
        f"{100 * one['cost_of_chips']:+.2f}",
    )


def _at_far(one: Mapping[str, Any], name: str) -> str:
    """TAR and the threshold of a false-accept rate; a dash where the pairs are too few for it."""
    tar = one[f"tar_at_far_{name}"]
    return "-" if tar is None else f"{_share(tar)} ({one[f'threshold_at_far_{name}']:.3f})"


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"
