"""Thresholds by gallery size: the more persons are enrolled, the nearer a face must come.

A verification threshold is useless for identification: every enrolled person is another chance
for a stranger to get a name. The curves hold the similarity at which one stranger in a hundred
does (FPIR 1 %), measured by `bench.open_set`; see the table in this service's README.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from types import MappingProxyType

_FPIR = 0.01


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model's similarity threshold as a function of the number of enrolled persons."""

    points: tuple[tuple[int, float], ...]
    """(persons, threshold), rising in both; straight in log(persons) between and beyond."""
    floor: float
    """No gallery is so small that less is enough: the 1:1 threshold at FAR 0.001."""
    margin: float = 0.0
    """Least lead over the runner-up, in the model's own scale of similarities."""

    def __post_init__(self) -> None:
        sizes = [size for size, _ in self.points]
        thresholds = [threshold for _, threshold in self.points]
        if len(sizes) < 2 or sizes[0] < 1 or sorted(set(sizes)) != sizes:
            raise ValueError("a calibration needs two sizes or more, rising, from 1")
        if sorted(thresholds) != thresholds or not -1 <= self.floor <= thresholds[-1] <= 1:
            raise ValueError("thresholds must not fall, and lie between the floor and 1")
        if not 0 <= self.margin <= 1:
            raise ValueError("the margin must be 0 to 1")

    def threshold(self, persons: int) -> float:
        """The similarity to reach in a gallery of so many persons; never falls as it grows."""
        if persons < 1:
            return self.floor
        (low, at_low), (high, at_high) = self._segment(persons)
        slope = (at_high - at_low) / (log(high) - log(low))
        line = at_low + slope * (log(persons) - log(low))
        return min(max(line, self.floor), 1.0)

    def _segment(self, persons: int) -> tuple[tuple[int, float], tuple[int, float]]:
        for left, right in zip(self.points, self.points[1:], strict=False):
            if persons <= right[0]:
                return left, right
        return self.points[-2], self.points[-1]


def calibration_of(thresholds: Mapping[float, float]) -> Calibration:
    """The curve that follows from thresholds of 1:1 comparisons, where nobody measured a gallery.

    A stranger is compared with everybody who is enrolled, so that a false-match rate f gives
    FPIR 1 % with 0.01 / f persons (ISO/IEC 19795-1, independent comparisons).

    Args:
        thresholds: similarity by false-match rate; two rates of 0.01 or less, or more.

    Raises:
        ValueError: there are fewer, or a smaller rate has a smaller similarity.
    """
    rates = sorted((rate for rate in thresholds if rate <= _FPIR), reverse=True)
    points = tuple((round(_FPIR / rate), thresholds[rate]) for rate in rates)
    if len(points) < 2:
        raise ValueError("thresholds are needed for two false-match rates of 0.01 or less")
    return Calibration(points, floor=points[0][1])


CALIBRATIONS = MappingProxyType(
    {
        "omz-face-reid-0095": Calibration(
            (
                (10, 0.337),
                (50, 0.393),
                (100, 0.417),
                (200, 0.440),
                (500, 0.469),
                (1000, 0.496),
                (1559, 0.515),
            ),
            floor=0.337,
            margin=0.02,
        ),
        "mobilefacenet-ms1m": Calibration(
            (
                (10, 0.333),
                (50, 0.381),
                (100, 0.399),
                (200, 0.423),
                (500, 0.446),
                (1000, 0.467),
                (1559, 0.473),
            ),
            floor=0.332,
            margin=0.02,
        ),
        # Vectors of dlib share a large common part: strangers lie at 0.84, not at 0.
        "dlib-resnet-v1": Calibration(
            ((10, 0.925), (50, 0.935), (100, 0.940), (200, 0.943), (500, 0.947), (1000, 0.950)),
            floor=0.925,
            margin=0.0035,
        ),
    }
)
"""By model_id; a model without a curve cannot identify anybody."""
