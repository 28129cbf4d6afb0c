"""Face chips: where to cut, how large, and how many bytes a frame may spend on them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from mesh.events import CHIP_BUDGET, BoundingBox, Point, Rejection

MARGIN = 0.4
"""Side of a chip beyond the longer side of the box, as a share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipWindow:
    """A square of the picture in whole pixels; it may reach beyond the picture's edges."""

    x: int
    y: int
    side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipGrade:
    """How large and how good the chips of a frame are."""

    max_side: int
    """Pixels."""
    quality: int
    """Of the JPEG, 1 to 100."""


GRADES = (
    ChipGrade(max_side=224, quality=92),
    ChipGrade(max_side=160, quality=90),
    ChipGrade(max_side=112, quality=88),
    ChipGrade(max_side=112, quality=70),
)
"""Best first. 112 px at quality 85 cost no measurable accuracy (LFW, OMZ 0095)."""

_BYTES_PER_PIXEL = {92: 0.36, 90: 0.34, 88: 0.34, 70: 0.20}
"""Of smooth faces as JPEG 4:4:4 at these qualities; detailed ones take half as much again."""

_OVERHEAD_BYTES = 700
"""Tables and headers of a small JPEG."""


def chip_window(box: BoundingBox) -> ChipWindow:
    """The square with 40 % margin around the centre of a box; it contains the box."""
    side = math.ceil(max(box.x2 - box.x1, box.y2 - box.y1) * (1.0 + MARGIN)) + 1
    return ChipWindow(
        x=math.floor((box.x1 + box.x2 - side) / 2),
        y=math.floor((box.y1 + box.y2 - side) / 2),
        side=side,
    )


def visible_share(box: BoundingBox, *, width: int, height: int) -> float:
    """How much of a face's window the picture shows, 0 to 1; less where an edge cuts the face."""
    window = chip_window(box)
    across = min(window.x + window.side, width) - max(window.x, 0)
    down = min(window.y + window.side, height) - max(window.y, 0)
    return max(across, 0) * max(down, 0) / window.side**2


def chip_size(window: ChipWindow, grade: ChipGrade) -> int:
    """The side of the chip in pixels: never larger than the window, at most the grade's."""
    return min(window.side, grade.max_side)


def into_chip(points: Sequence[Point], window: ChipWindow, size: int) -> tuple[Point, ...]:
    """Points of the picture in the coordinates of a chip of `size` pixels."""
    scale = size / window.side
    return tuple(
        Point(x=(point.x - window.x) * scale, y=(point.y - window.y) * scale) for point in points
    )


def affordable_grades(windows: Sequence[ChipWindow], budget: int) -> tuple[ChipGrade, ...]:
    """The grades worth trying for the chips of a frame, best first; at least the last.

    An estimate that is rather too low: a grade that it rules out would not have fitted.

    Args:
        windows: of the frame's faces.
        budget: bytes that the chips of the frame may take together.
    """
    affordable = [grade for grade in GRADES if _estimate(windows, grade) <= budget]
    return tuple(affordable) or GRADES[-1:]


def within_budget(sizes: Sequence[int], budget: int) -> int:
    """How many of the first chips fit into the budget together.

    Args:
        sizes: bytes of each chip, of the largest face first.
        budget: bytes.
    """
    return sum(total <= budget for total in accumulate(sizes))


def left_out(sizes: Sequence[int], budget: int) -> Rejection:
    """Why the smallest faces of a frame have no chip, so that nobody recognises them.

    Args:
        sizes: bytes of the plainest chip of every face.
        budget: bytes, less than these together.
    """
    return Rejection(
        reason=CHIP_BUDGET,
        field="chip_bytes",
        value=float(sum(sizes)),
        limit=float(budget),
        message=(
            f"The frame's {len(sizes)} face chips take {sum(sizes)} bytes, above the limit of "
            f"{budget}: the smallest faces go without."
        ),
    )


def _estimate(windows: Sequence[ChipWindow], grade: ChipGrade) -> float:
    per_pixel = _BYTES_PER_PIXEL[grade.quality]
    return sum(chip_size(window, grade) ** 2 * per_pixel + _OVERHEAD_BYTES for window in windows)
