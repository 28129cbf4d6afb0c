"""Labelled pairs of pictures: whose they are is known, what a model says is measured."""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mesh.errors import ConfigurationError

_COLUMNS = ("image_a", "image_b", "same_person")
_FOLDS = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, and whether they show one person."""

    first: Path
    second: Path
    same: bool
    fold: int


def read_pairs(file: Path, folder: Path) -> list[Pair]:
    """The pairs of a CSV file.

    Args:
        file: columns image_a, image_b, same_person (0 or 1) and, if there are, fold; without
            folds the pairs of each kind are dealt out to ten.
        folder: that the pictures' paths start at.

    Raises:
        ConfigurationError: the file, a column or a picture is missing, a value is neither 0 nor
            1, or a fold has pairs of one kind only; the message names line or fold.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    dealt: Counter[str] = Counter()
    pairs = []
    for number, row in enumerate(rows):
        kind = row.get("same_person") or ""
        pairs.append(_pair(row, f"{file}, line {number + 2}", folder, dealt[kind] % _FOLDS + 1))
        dealt[kind] += 1
    for fold in {pair.fold for pair in pairs} or {1}:
        if len({pair.same for pair in pairs if pair.fold == fold}) < 2:
            raise ConfigurationError(f"{file}: fold {fold} needs pairs of one person and of two")
    return pairs


def sample(pairs: Sequence[Pair], limit: int | None) -> list[Pair]:
    """At most `limit` pairs, as many of every fold and kind, spread evenly; one of each at least.

    Args:
        pairs: to choose from.
        limit: `None` takes all.
    """
    if limit is None or limit >= len(pairs):
        return list(pairs)
    groups: dict[tuple[int, bool], list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.fold, pair.same].append(pair)
    share = max(1, limit // len(groups))
    chosen = []
    for _, group in sorted(groups.items()):
        places = np.linspace(0, len(group) - 1, min(share, len(group))).round().astype(int)
        chosen += [group[place] for place in places]
    return chosen


def pictures(pairs: Sequence[Pair]) -> list[Path]:
    """Every picture of the pairs once, in order."""
    return sorted({path for pair in pairs for path in (pair.first, pair.second)})


def _pair(row: Mapping[str, str | None], where: str, folder: Path, dealt: int) -> Pair:
    first, second, same = (_value(row, column, where) for column in _COLUMNS)
    if same not in {"0", "1"}:
        raise ConfigurationError(f"{where}: same_person is {same!r}, not 0 or 1")
    fold = row.get("fold") or str(dealt)
    if not fold.isdecimal():
        raise ConfigurationError(f"{where}: fold is {fold!r}, not a number")
    return Pair(
        _picture(folder / first, where), _picture(folder / second, where), same == "1", int(fold)
    )


def _value(row: Mapping[str, str | None], column: str, where: str) -> str:
    value = row.get(column)
    if not value:
        raise ConfigurationError(f"{where}: {column} is missing")
    return value


def _picture(path: Path, where: str) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"{where}: {path} does not exist")
    return path
