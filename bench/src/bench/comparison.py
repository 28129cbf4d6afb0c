"""Pairs compared by one model, its faces shown to it in several ways."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.contenders import Contender
from bench.figures import say
from bench.pairs import Pair, pictures, sample
from bench.pathway import Seen, decode, look
from bench.verification import NO_FACE, Trials
from detection.domain.chip import GRADES, ChipGrade
from mesh.events import FaceChip
from recognition.domain.embedding import Vector, is_zero

CHIPS, DIRECT = "chips", "direct"
_AT_ONCE = 16

Way = Callable[[Seen], FaceChip]


class Result(NamedTuple):
    """What one model made of the pairs."""

    contender: Contender
    trials: Mapping[str, Trials]
    """By the way that it was shown the faces."""
    no_face: int
    """Pictures without a face."""


def in_words(grade: ChipGrade) -> str:
    """The name of a quality of chips."""
    return f"{grade.max_side} px, q{grade.quality}"


def compare(
    contender: Contender,
    pairs: Sequence[Pair],
    *,
    limit: int | None = None,
    grades: Sequence[ChipGrade] = (),
) -> Result:
    """Compare pairs as chips, without chips, and as chips of other qualities.

    Args:
        contender: detector and embedder.
        pairs: to compare.
        limit: so many pairs at most.
        grades: further qualities of chips to show the faces in.
    """
    limits = [most for most in (limit, contender.limit) if most is not None]
    chosen = sample(pairs, min(limits, default=None))
    paths = pictures(chosen)
    say(f"{contender.model_id}: {len(chosen)} pairs, {len(paths)} pictures")
    began = time.monotonic()
    ways: dict[str, Way] = {
        CHIPS: _as(GRADES[0]),
        DIRECT: Seen.window if contender.finds_points else Seen.whole,
    } | {in_words(grade): _as(grade) for grade in grades}
    vectors = _embed(contender, paths, ways)
    say(f"  {time.monotonic() - began:.0f} s")
    trials = {way: _trials(chosen, found) for way, found in vectors.items()}
    return Result(contender, trials, len(paths) - len(vectors[CHIPS]))


def _as(grade: ChipGrade) -> Way:
    return lambda seen: seen.chip(grade)


def _embed(
    contender: Contender, paths: Sequence[Path], ways: Mapping[str, Way]
) -> dict[str, dict[Path, Vector]]:
    """The vectors of every picture that shows a face, by way."""
    found: dict[str, dict[Path, Vector]] = {way: {} for way in ways}
    for start in range(0, len(paths), _AT_ONCE):
        seen = {
            path: face
            for path in paths[start : start + _AT_ONCE]
            if (face := look(contender.detector, decode(path))) is not None
        }
        for way, show in ways.items():
            rows = contender.embedder.embed([show(face) for face in seen.values()])
            found[way] |= {
                path: row for path, row in zip(seen, rows, strict=True) if not is_zero(row)
            }
    return found


def _trials(pairs: Sequence[Pair], vectors: Mapping[Path, Vector]) -> Trials:
    return Trials(
        scores=np.array([_score(pair, vectors) for pair in pairs], dtype=np.float64),
        same=np.array([pair.same for pair in pairs], dtype=np.bool_),
        folds=np.array([pair.fold for pair in pairs], dtype=np.int64),
    )


def _score(pair: Pair, vectors: Mapping[Path, Vector]) -> float:
    one, other = vectors.get(pair.first), vectors.get(pair.second)
    return NO_FACE if one is None or other is None else float(one @ other)
