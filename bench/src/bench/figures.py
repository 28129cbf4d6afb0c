"""Numbers of a report: percentiles, fairness, growth; and where reports are written."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Say = Callable[[str], None]

GROWTH_MB = 5.0
"""Of memory an hour, in the second half of a soak."""
SOAK_MINUTES = 10.0
"""A shorter one only shows how memory fills at first, and is not judged."""


def say(line: str) -> None:
    """Tell the person who waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest, rounded to a tenth; empty if there are no values."""
    if not values:
        return {}
    array = np.asarray(values, dtype=np.float64)
    found = {f"p{share}": float(np.percentile(array, share)) for share in (50, 95, 99)}
    return {name: round(value, 1) for name, value in (found | {"max": float(array.max())}).items()}


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 if all have the same, 1/n if one has everything."""
    array = np.asarray(shares, dtype=np.float64)
    squares = float((array**2).sum())
    return float(array.sum()) ** 2 / (len(array) * squares) if squares else 1.0


def fair_shares(demands: Sequence[float], capacity: float) -> list[float]:
    """Max-min fair shares of a capacity: nobody gets more than asked, the rest is split evenly."""
    shares = [0.0] * len(demands)
    left = capacity
    for waiting, index in enumerate(sorted(range(len(demands)), key=lambda i: demands[i])):
        shares[index] = min(demands[index], left / (len(demands) - waiting))
        left -= shares[index]
    return shares


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares growth of the second value per unit of the first; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    x, y = np.asarray(points, dtype=np.float64).T
    return float(np.polyfit(x, y, 1)[0])


def grown(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Memory over time: what it was and was at most, and how fast it rose in the second half.

    Services give freed memory back once a minute (`mesh.freed_memory`), so that the samples of a
    minute differ by what waits for that. The least of each minute is what is in use: `warm_mb` in
    the middle, and `mb_per_hour` by least squares from there on.

    Args:
        points: minute and megabytes, by rising minute.
    """
    floors: dict[int, float] = {}
    for minute, megabytes in points:
        floors[int(minute)] = min(megabytes, floors.get(int(minute), megabytes))
    half = list(floors.items())[len(floors) // 2 :]
    return {
        "first_mb": round(points[0][1], 1),
        "warm_mb": round(half[0][1], 1),
        "last_mb": round(points[-1][1], 1),
        "most_mb": round(max(megabytes for _, megabytes in points), 1),
        "mb_per_hour": round(60.0 * slope(half), 2),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Keep a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    say(f"\nwritten: {path}")
