"""How likely recognition is to know a face again, told by what detection measures of it.

Utility in the sense of ISO/IEC 29794-1: a logistic model of a few signs, each of which can only
help. The weights were fitted on genuine pairs of LFW, one picture of each made worse in known
ways, at the similarity that recognition demands of the default pack; `python -m bench accuracy`
fits them anew on folds 1, 3 and 5, and judges these on folds 2 and 4 (docs/performance.md).
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from mesh.events import Pose

CLEAR: Mapping[str, float] = MappingProxyType(
    {"yunet-2023mar": 0.94, "scrfd-2.5g": 0.842, "scrfd-500m": 0.843}
)
"""Confidence with which a detector finds the clear faces of LFW, the median, by model_id."""

_SURE = 1e-3
"""Confidences are kept so far from 0 and 1 that their odds exist."""
_SHARP = 100.0
"""From here on sharpness tells nothing more."""
_LEAST_SHARPNESS = 2.0
"""No face with less was found in any of the pictures."""
_BRIGHT = 150.0
"""Mean grey level from which on faces are over-exposed."""
_PROFILE = 60.0
"""Degrees of yaw that recognition refuses."""


class Signs(NamedTuple):
    """What speaks for a face; 0 is as good as it gets, less is worse."""

    certainty: float
    """Logarithm of the odds that it is a face, against those of a clear one."""
    sharpness: float
    """Logarithm of the share of `_SHARP` that it has."""
    glare: float
    """Steps of 50 grey levels beyond `_BRIGHT`."""
    turn: float
    """Square of the yaw in profiles of 60 degrees."""


class Weights(NamedTuple):
    """Of the signs; none is negative: a better sign never makes a face worse."""

    bias: float
    """Logarithm of the odds of a face without fault."""
    certainty: float
    sharpness: float
    glare: float
    turn: float


MEASURED = Weights(bias=3.70, certainty=3.08, sharpness=0.28, glare=0.51, turn=0.61)
"""Of faces that a detector in `CLEAR` found."""
UNMEASURED = Weights(bias=3.46, certainty=0.0, sharpness=0.68, glare=1.67, turn=2.67)
"""Of others: what a confidence is worth is not known, so the rest has to say more."""


def weights_for(detector: str | None) -> Weights:
    """The weights for the faces of a detector, by its model_id."""
    return MEASURED if detector in CLEAR else UNMEASURED


def signs(
    *, confidence: float, sharpness: float, brightness: float, pose: Pose, detector: str | None
) -> Signs:
    """The signs of a face.

    Size, darkness and pitch are none of them: beside sharpness and certainty, which fall with
    them, they told nothing.

    Args:
        confidence: of the detector, 0 to 1.
        sharpness: variance of the Laplacian at 112 x 112.
        brightness: mean grey level, 0 to 255.
        pose: of the head.
        detector: model_id of what found it; the confidence of one that is not in `CLEAR` tells
            nothing.
    """
    clear = CLEAR.get(detector or "")
    return Signs(
        certainty=0.0 if clear is None else min(_odds(confidence) - _odds(clear), 0.0),
        sharpness=math.log(min(max(sharpness, _LEAST_SHARPNESS), _SHARP) / _SHARP),
        glare=-max(brightness - _BRIGHT, 0.0) / 50.0,
        turn=-((pose.yaw / _PROFILE) ** 2),
    )


def utility(found: Signs, weights: Weights, *, sharpness: float, visible: float) -> float:
    """The probability that recognition knows the face again, 0 to 1.

    It falls to 0 in proportion where nothing was measured: below the least sharpness of any
    face, and with what an edge of the picture cuts off.

    Args:
        found: the signs of the face.
        weights: of the detector that found it.
        sharpness: as of `signs`.
        visible: how much of the face and its margin the picture shows, 0 to 1.
    """
    bias, *rest = weights
    odds = bias + sum(weight * sign for weight, sign in zip(rest, found, strict=True))
    return visible * min(sharpness / _LEAST_SHARPNESS, 1.0) / (1.0 + math.exp(-odds))


def _odds(share: float) -> float:
    kept = min(max(share, _SURE), 1.0 - _SURE)
    return math.log(kept / (1.0 - kept))
