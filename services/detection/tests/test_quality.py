from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.domain.face import GreyFace, RawFace
from detection.domain.pose import estimate_pose
from detection.domain.quality import QualityPolicy, measure, rejections, sharpness
from mesh.events import BoundingBox, FaceQuality, Point, Pose

POLICY = QualityPolicy()
FRONTAL = Pose(yaw=0.0, pitch=0.0, roll=0.0)
GOOD = FaceQuality(
    score=0.9, sharpness=80.0, brightness=120.0, is_blurry=False, face_size_pixels=10_000
)
MakeFace = Callable[..., RawFace]


def noise(level: float = 130.0, spread: float = 20.0, seed: int = 3) -> GreyFace:
    values = np.random.default_rng(seed).normal(level, spread, (112, 112))
    return np.clip(values, 0, 255).astype(np.uint8)


def named(face: RawFace, quality: FaceQuality = GOOD, pose: Pose = FRONTAL) -> list[str]:
    return [rejection.reason for rejection in rejections(face, quality, pose, POLICY)]


@given(st.integers(0, 1000))
def test_sharpness_is_the_variance_of_opencvs_laplacian(seed: int) -> None:
    grey = noise(seed=seed)
    inner = cv2.Laplacian(grey, cv2.CV_64F)[1:-1, 1:-1]
    assert sharpness(grey) == pytest.approx(float(inner.var()))


def test_a_flat_face_has_no_sharpness_and_blur_lowers_it() -> None:
    assert sharpness(np.full((112, 112), 90, np.uint8)) == 0.0
    assert sharpness(cv2.GaussianBlur(noise(), (0, 0), 2)) < sharpness(noise()) / 4


def test_a_large_sharp_bright_frontal_face_scores_nearly_one(a_face: MakeFace) -> None:
    quality = measure(noise(), a_face(side=150, confidence=0.99), FRONTAL, POLICY)
    assert quality.score > 0.95
    assert not quality.is_blurry
    assert quality.face_size_pixels == 22_500
    assert quality.brightness == pytest.approx(130, abs=1)


def test_a_useless_face_scores_nothing(a_face: MakeFace) -> None:
    black: GreyFace = np.zeros((112, 112), np.uint8)
    quality = measure(black, a_face(), FRONTAL, POLICY)
    assert quality.score == 0.0
    assert quality.is_blurry


def test_a_face_that_an_edge_cuts_scores_less(a_face: MakeFace) -> None:
    whole = measure(noise(), a_face(side=150), FRONTAL, POLICY)
    cut = measure(noise(), a_face(side=150), FRONTAL, POLICY, visible=0.6)
    assert cut.score == pytest.approx(0.6 * whole.score)


@given(
    st.floats(1, 500), st.floats(0, 1), st.floats(-90, 90), st.floats(-90, 90), st.floats(0, 255)
)
def test_the_score_is_a_share(
    side: float, confidence: float, yaw: float, pitch: float, level: float
) -> None:
    face = RawFace(box=make_box(side), confidence=confidence, landmarks=(Point(x=0.0, y=0.0),) * 5)
    pose = Pose(yaw=yaw, pitch=pitch, roll=0.0)
    assert 0 <= measure(noise(level), face, pose, POLICY).score <= 1


def make_box(side: float) -> BoundingBox:
    return BoundingBox(x1=0.0, y1=0.0, x2=side, y2=side)


def test_a_fit_face_has_no_rejections(a_face: MakeFace) -> None:
    assert named(a_face()) == []


def test_every_limit_has_its_name(a_face: MakeFace) -> None:
    changed = {
        "blurry": FaceQuality(
            score=0, sharpness=3, brightness=120, is_blurry=True, face_size_pixels=1
        ),
        "too_dark": FaceQuality(
            score=0, sharpness=80, brightness=39, is_blurry=False, face_size_pixels=1
        ),
        "too_bright": FaceQuality(
            score=0, sharpness=80, brightness=221, is_blurry=False, face_size_pixels=1
        ),
    }
    for reason, quality in changed.items():
        assert named(a_face(), quality) == [reason]
    assert named(a_face(side=31)) == ["too_small"]
    assert named(a_face(confidence=0.5)) == ["low_confidence"]
    assert named(a_face(), pose=Pose(yaw=-61, pitch=0, roll=0)) == ["extreme_pose"]
    assert named(a_face(), pose=Pose(yaw=0, pitch=51, roll=0)) == ["extreme_pose"]


def test_a_rejection_tells_measured_value_and_limit(a_face: MakeFace) -> None:
    (rejection,) = rejections(a_face(side=20.5), GOOD, FRONTAL, POLICY)
    assert (rejection.field, rejection.value, rejection.limit) == ("face_size", 20.5, 32.0)
    assert rejection.message == "The face size of the face is 20.5, below the limit of 32 pixels."


def test_a_face_that_misses_several_limits_says_so(a_face: MakeFace) -> None:
    assert named(a_face(side=20, confidence=0.1)) == ["too_small", "low_confidence"]


def head(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> list[Point]:
    """The five points of a head, turned to its left, up, and clockwise in the picture."""
    model = np.array(
        [[-1, -1, 0], [1, -1, 0], [0, 0.14, -1.05], [-0.9, 0.99, 0.05], [0.9, 0.99, 0.05]]
    )
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    places = (model @ (tilt @ nod @ turn).T)[:, :2] * 20 + 100
    return [Point(x=float(px), y=float(py)) for px, py in places]


@pytest.mark.parametrize("angle", [-40, -15, 0, 15, 40])
def test_the_pose_of_the_model_head_is_found(angle: float) -> None:
    assert estimate_pose(head(yaw=angle)).yaw == pytest.approx(angle, abs=1)
    assert estimate_pose(head(pitch=angle)).pitch == pytest.approx(angle, abs=1)
    assert estimate_pose(head(roll=angle)).roll == pytest.approx(angle, abs=1)


def test_a_nose_to_the_right_of_the_picture_is_a_turn_to_the_persons_left() -> None:
    points = head()
    points[2] = Point(x=points[2].x + 8, y=points[2].y)
    assert estimate_pose(points).yaw > 10


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=5, max_size=5))
def test_any_five_points_have_a_pose(places: list[tuple[float, float]]) -> None:
    pose = estimate_pose([Point(x=x, y=y) for x, y in places])
    assert all(abs(angle) <= 180 for angle in (pose.yaw, pose.pitch, pose.roll))
