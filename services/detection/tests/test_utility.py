from dataclasses import dataclass, replace
from typing import Any

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.adapters.jpeg import OpenCvFaceCutter
from detection.domain.face import Picture, RawFace
from detection.domain.quality import QualityPolicy, measure
from detection.domain.utility import CLEAR, MEASURED, UNMEASURED, signs, utility, weights_for
from detection.ports import FaceView
from mesh.events import BoundingBox, Point, Pose

FRONTAL = Pose(yaw=0.0, pitch=0.0, roll=0.0)
DETECTOR = "yunet-2023mar"
HOPPER = BoundingBox(x1=180.0, y1=139.0, x2=366.0, y2=325.0)


@dataclass(frozen=True)
class Measures:
    confidence: float = 0.94
    sharpness: float = 100.0
    brightness: float = 120.0
    yaw: float = 0.0
    visible: float = 1.0

    def utility(self, detector: str | None = DETECTOR) -> float:
        found = signs(
            confidence=self.confidence,
            sharpness=self.sharpness,
            brightness=self.brightness,
            pose=replace(FRONTAL, yaw=self.yaw),
            detector=detector,
        )
        return utility(found, weights_for(detector), sharpness=self.sharpness, visible=self.visible)


MEASURES = st.builds(
    Measures,
    confidence=st.floats(0, 1),
    sharpness=st.floats(0, 2000),
    brightness=st.floats(0, 255),
    yaw=st.floats(-90, 90),
    visible=st.floats(0, 1),
)


@given(MEASURES, st.data())
def test_whatever_gets_better_a_face_never_becomes_less_likely(
    worse: Measures, data: st.DataObject
) -> None:
    better: dict[str, Any] = {
        "confidence": data.draw(st.floats(worse.confidence, 1)),
        "sharpness": data.draw(st.floats(worse.sharpness, 2000)),
        "brightness": data.draw(st.floats(0, worse.brightness)),
        "yaw": worse.yaw * data.draw(st.floats(0, 1)),
        "visible": data.draw(st.floats(worse.visible, 1)),
    }
    name = data.draw(st.sampled_from(sorted(better)))
    assert replace(worse, **{name: better[name]}).utility() >= worse.utility() - 1e-12


@given(MEASURES)
def test_it_is_a_probability(some: Measures) -> None:
    assert 0.0 <= some.utility() <= 1.0


@given(MEASURES, st.floats(0, 1))
def test_the_confidence_of_a_detector_that_nobody_measured_tells_nothing(
    some: Measures, confidence: float
) -> None:
    other = replace(some, confidence=confidence)
    assert some.utility("unheard-of") == other.utility("unheard-of") == other.utility(None)


@pytest.mark.parametrize("detector", CLEAR)
def test_a_clear_face_is_as_likely_whoever_finds_it(detector: str) -> None:
    clear = Measures(confidence=CLEAR[detector])
    assert clear.utility(detector) > 0.95


@pytest.mark.parametrize(
    "flaw",
    [
        {"confidence": 0.62},
        {"sharpness": 3.0},
        {"brightness": 235.0},
        {"yaw": -60.0},
        {"visible": 0.6},
    ],
)
def test_every_flaw_lowers_it(flaw: dict[str, float]) -> None:
    assert Measures(**flaw).utility() < Measures().utility() - 0.01


def test_no_sign_counts_against_a_face_that_has_it() -> None:
    assert min(MEASURED[1:]) >= 0
    assert min(UNMEASURED[1:]) >= 0


def score_of(
    picture: Picture, *, confidence: float = 0.94, detector: str | None = DETECTOR
) -> float:
    points = tuple(
        Point(x=x, y=y) for x, y in ((227, 193), (308, 195), (266, 240), (229, 268), (302, 270))
    )
    face = RawFace(box=HOPPER, confidence=confidence, landmarks=points)
    [grey] = OpenCvFaceCutter().grey([FaceView(picture, face)])
    return measure(grey, face, FRONTAL, QualityPolicy(), detector=detector).score


@pytest.mark.parametrize(("detector", "fall"), [(DETECTOR, 0.03), (None, 0.2)])
def test_a_portrait_scores_high_and_falls_as_it_is_blurred(
    hopper: Picture, detector: str | None, fall: float
) -> None:
    blurred = [cv2.GaussianBlur(hopper, (0, 0), sigma) for sigma in (2, 4, 8, 16)]
    scores = [score_of(picture, detector=detector) for picture in (hopper, *blurred)]
    assert scores[0] > 0.95
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < scores[0] - fall


def test_a_portrait_falls_as_it_is_over_exposed_or_covered(hopper: Picture) -> None:
    glaring = cv2.convertScaleAbs(hopper, alpha=4.0)
    grey = hopper.copy()
    grey[:] = 120
    assert score_of(glaring) < score_of(hopper) - 0.01
    assert score_of(hopper, confidence=0.7) < 0.8
    assert score_of(grey) == 0.0
