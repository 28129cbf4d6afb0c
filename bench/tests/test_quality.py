import cv2
import numpy as np
import pytest
import skimage.data

from bench.degraded import WAYS
from bench.quality import (
    DISCARDED,
    Flags,
    Floats,
    error_versus_discard,
    fitted,
    reliability,
)
from detection.domain.face import Picture
from mesh.events import BoundingBox

FACE = BoundingBox(x1=55.0, y1=36.0, x2=145.0, y2=126.0)


def astronaut() -> Picture:
    return np.ascontiguousarray(skimage.data.astronaut()[40:220, 120:320, ::-1])


def test_a_score_that_knows_all_discards_every_error_first() -> None:
    missed = np.arange(100) < 10
    found = error_versus_discard(np.arange(100.0), missed)
    assert found == pytest.approx([0.1, 5 / 95, 0.0, 0.0, 0.0])


def test_a_score_that_is_upside_down_discards_none() -> None:
    missed = np.arange(100) < 10
    found = error_versus_discard(-np.arange(100.0), missed)
    assert found == pytest.approx([10 / (100 - 100 * share) for share in DISCARDED])


def test_reliability_tells_what_was_said_and_seen_the_worst_first() -> None:
    scores = np.repeat([0.9, 0.1, 0.5, 0.3, 0.7], 10)
    known = np.tile(np.arange(10), 5) < 10 * scores
    bins = reliability(scores, known)
    assert [one["said"] for one in bins] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert [one["seen"] for one in bins] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert [one["faces"] for one in bins] == [10] * 5


def drawn(bias: float, weights: tuple[float, ...], count: int = 20_000) -> tuple[Floats, Flags]:
    chance = np.random.default_rng(5)
    signs = -chance.exponential(1.0, (count, len(weights)))
    likely = 1 / (1 + np.exp(-(bias + signs @ np.array(weights))))
    return signs, chance.random(count) < likely


def test_the_weights_that_drew_the_faces_are_found_again() -> None:
    found = fitted(*drawn(2.0, (1.5, 0.5, 1.0, 0.2)))
    assert found == pytest.approx((2.0, 1.5, 0.5, 1.0, 0.2), abs=0.1)


def test_a_sign_that_would_count_against_a_face_is_left_out() -> None:
    found = fitted(*drawn(0.0, (1.0, -0.5, 0.0, 0.5)))
    assert found.sharpness == 0.0
    assert found.certainty > 0.5
    assert min(found[1:]) >= 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_worse_pictures_are_pictures_and_the_same_for_the_same_seed(
    way: str, strength: float
) -> None:
    picture = astronaut()
    one, again = (WAYS[way](picture, FACE, strength, np.random.default_rng(3)) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.ndim == 3
    assert (one == again).all()
    assert (picture == astronaut()).all()


@pytest.mark.parametrize("way", WAYS)
def test_more_strength_is_farther_from_the_picture(way: str) -> None:
    picture = astronaut()
    height, width = picture.shape[:2]

    def distance(strength: float) -> float:
        worse = WAYS[way](picture, FACE, strength, np.random.default_rng(3))
        back = cv2.resize(worse, (width, height), interpolation=cv2.INTER_LINEAR)
        return float(np.abs(back.astype(np.float64) - picture).mean())

    assert distance(0.1) < distance(0.5) < distance(1.0)
