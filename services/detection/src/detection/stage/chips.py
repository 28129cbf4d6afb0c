"""Face chips of a batch: all frames of one grade are cut together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from detection.domain.chip import (
    ChipGrade,
    ChipWindow,
    affordable_grades,
    chip_size,
    chip_window,
    into_chip,
    left_out,
    within_budget,
)
from detection.domain.face import RawFace
from detection.ports import ChipCut, FaceCutter, FaceView
from detection.stage.work import DetectionPolicy
from mesh.events import FaceChip, Rejection


@dataclass(slots=True)
class Order:
    """The chips of a frame, on their way to the best grade that fits into the budget."""

    views: Sequence[FaceView]
    """The faces that are to get one, largest first."""
    windows: Sequence[ChipWindow] = field(init=False)
    grades: list[ChipGrade] = field(default_factory=list)
    """Still to be tried, best first."""
    chips: list[FaceChip] = field(default_factory=list)
    """As they were cut last."""

    def __post_init__(self) -> None:
        self.windows = [chip_window(view.face.box) for view in self.views]

    def fits(self, budget: int) -> bool:
        """Whether the chips take at most so many bytes together."""
        return within_budget(self.sizes, budget) == len(self.chips)

    @property
    def sizes(self) -> list[int]:
        """Bytes of each chip."""
        return [len(chip.image) for chip in self.chips]


class ChipMaker:
    """Cuts the chips of frames as well as the budget of each allows."""

    def __init__(self, cutter: FaceCutter, policy: DetectionPolicy) -> None:
        self._cutter = cutter
        self._policy = policy

    def make(self, orders: Sequence[Order]) -> list[Sequence[FaceChip | Rejection]]:
        """A chip of each face by frame; the smallest faces of a crowd may go without."""
        budget = self._policy.chip_budget
        for order in orders:
            order.grades = list(affordable_grades(order.windows, budget))
        left = [order for order in orders if order.views]
        while left:
            self._cut(left)
            left = [order for order in left if order.grades and not order.fits(budget)]
        return [self._kept(order) for order in orders]

    def _cut(self, orders: Sequence[Order]) -> None:
        """Each by the next of its grades."""
        by_grade: dict[ChipGrade, list[Order]] = defaultdict(list)
        for order in orders:
            by_grade[order.grades.pop(0)].append(order)
        for grade, members in by_grade.items():
            cuts = [
                ChipCut(view.image, window, chip_size(window, grade))
                for order in members
                for view, window in zip(order.views, order.windows, strict=True)
            ]
            images = iter(self._cutter.chips(cuts, quality=grade.quality))
            for order in members:
                order.chips = [
                    _chip(next(images), view.face, window, chip_size(window, grade))
                    for view, window in zip(order.views, order.windows, strict=True)
                ]

    def _kept(self, order: Order) -> Sequence[FaceChip | Rejection]:
        if order.fits(self._policy.chip_budget):
            return order.chips
        sizes, limit = order.sizes, self._policy.chip_limit
        kept = within_budget(sizes, limit)
        without = [left_out(sizes, limit)] * (len(sizes) - kept)
        return [*order.chips[:kept], *without]


def _chip(image: bytes, face: RawFace, window: ChipWindow, size: int) -> FaceChip:
    points = into_chip(face.landmarks, window, size)
    return FaceChip(image=image, width=size, height=size, landmarks=points)
