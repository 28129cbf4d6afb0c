"""What further models say of faces: cuts, readings, and the networks themselves where they are."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typing_extensions import override

from detection.adapters import face_networks
from detection.adapters.face_landmarker import FaceLandmarker, back
from detection.adapters.face_networks import Network, turned
from detection.adapters.object_detector import YoloDetector
from detection.domain.age import GROUPS, age_group
from detection.domain.cells import count
from detection.domain.crops import Square, eye_squares, inside, mesh_square
from detection.domain.face import Picture, RawFace
from detection.domain.face_mesh import (
    POINTS,
    SHAPE_POINTS,
    SHAPES,
    FaceMesh,
    attributes_of,
    eye_aspect_ratio,
)
from detection.ports import FaceView, ModelInfo
from inference.engine import EngineError, EngineInfo, Outputs, Tensor
from mesh.errors import ConfigurationError
from mesh.events import BoundingBox, Point
from mesh.models import InputSpec

INFO = ModelInfo(
    model_id="fake",
    name="Fake",
    version="1",
    licence="none",
    sha256="0" * 64,
    pack="fake",
    device="CPU",
    engine="none",
)


class FakeEngine:
    """Says the same of everything; fails on a batch that is dark throughout if told so."""

    info = EngineInfo(engine="none", device="CPU", precision="f32")

    def __init__(self, *, refuses: bool = False, **outputs: Sequence[float]) -> None:
        self._outputs = outputs
        self.refuses = refuses
        self.batches: list[Tensor] = []

    def run(self, batch: Tensor) -> Outputs:
        self.batches.append(batch)
        if self.refuses:
            raise EngineError("no")
        return {
            name: np.tile(np.asarray(values, np.float32), (len(batch), 1))
            for name, values in self._outputs.items()
        }

    def close(self) -> None:
        """Nothing to close."""


def a_view(
    image: Picture | None = None, *, x: float = 100, y: float = 80, side: float = 100
) -> FaceView:
    """A frontal face in a grey picture of 320 x 240 pixels, or in the given one."""
    places = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.57), (0.33, 0.75), (0.67, 0.75))
    face = RawFace(
        box=BoundingBox(x1=x, y1=y, x2=x + side, y2=y + side),
        confidence=0.9,
        landmarks=tuple(Point(x=x + px * side, y=y + py * side) for px, py in places),
    )
    return FaceView(np.full((240, 320, 3), 90, np.uint8) if image is None else image, face)


@given(st.floats(0, 600), st.floats(0, 300), st.floats(1, 400), st.floats(1, 400), st.floats(1, 5))
def test_a_grown_box_stays_in_the_picture_and_keeps_its_aspect(
    x: float, y: float, across: float, down: float, scale: float
) -> None:
    box = BoundingBox(x1=x, y1=y, x2=min(x + across, 640.0), y2=min(y + down, 360.0))
    if box.x2 - box.x1 < 1 or box.y2 - box.y1 < 1:
        return
    grown = inside(box, scale, width=640, height=360)
    assert grown.x1 >= -1e-6
    assert grown.y1 >= -1e-6
    assert grown.x2 <= 640 + 1e-6
    assert grown.y2 <= 360 + 1e-6
    before = (box.x2 - box.x1) / (box.y2 - box.y1)
    assert (grown.x2 - grown.x1) / (grown.y2 - grown.y1) == pytest.approx(before, rel=1e-6)


@given(st.floats(-3, 3), st.floats(1, 500), st.floats(0, 640), st.floats(0, 360))
def test_points_of_a_turned_cut_find_their_way_back(
    angle: float, side: float, x: float, y: float
) -> None:
    square = Square(x, y, side, angle)
    turn = square.onto(256)
    places = np.array([[x, y], [x + 3, y - 5]])
    there = (places @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    assert there[0] == pytest.approx((128, 128), abs=1e-2)
    deep = np.concatenate([there, np.full((2, 1), 256, np.float32)], axis=1)
    found = back(deep, square)
    assert found[:, :2] == pytest.approx(places.astype(np.float32), abs=0.05)
    assert found[:, 2] == pytest.approx(side)


def test_a_tilted_face_is_cut_upright() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[125:140, 125:140] = 255
    cut = turned(image, Square(100, 100, 100, math.pi / 4), 100)
    assert cut[45:55, 95:].max() == 255, "what was right below is right of the centre"
    assert cut[:30].max() == 0


def test_the_squares_of_a_face_lie_on_it() -> None:
    face = a_view().face
    left, right = eye_squares(face)
    assert (left.x, left.y, right.x) == (130, 115, 170)
    assert left.side == pytest.approx(0.9 * 40)
    square = mesh_square(face)
    assert (square.x, square.y, square.side, square.angle) == (150, 130, 160, 0)


@pytest.mark.parametrize(
    ("years", "group"), [(-1, "0-2"), (0, "0-2"), (2.9, "0-2"), (3, "3-9"), (25, "25-34")]
)
def test_an_age_is_told_as_a_group(years: float, group: str) -> None:
    assert age_group(years) == group


def test_the_oldest_group_is_open() -> None:
    assert age_group(65) == age_group(120) == GROUPS[-1] == "65+"


def test_an_eye_as_high_as_wide_has_the_ratio_one() -> None:
    flat = np.array([[0, 0], [1, -2], [3, -2], [4, 0], [3, 2], [1, 2]], np.float32)
    six = np.concatenate([flat, np.zeros((6, 1), np.float32)], axis=1)
    assert eye_aspect_ratio(six) == pytest.approx(1)
    assert eye_aspect_ratio(six * np.array([1, 0, 0], np.float32)) == 0
    assert eye_aspect_ratio(np.zeros((6, 3), np.float32)) == 0
    turned_away = six[:, [0, 1, 0]] * np.array([0.6, 1, 0.8], np.float32)
    assert eye_aspect_ratio(turned_away) == pytest.approx(1), "turning the head opens no eye"


def test_the_blendshape_network_takes_146_points() -> None:
    assert len(set(SHAPE_POINTS)) == len(SHAPE_POINTS) == 146
    assert max(SHAPE_POINTS) < POINTS


def test_without_blendshapes_contours_and_ratios_are_still_told() -> None:
    points = np.random.default_rng(1).uniform(0, 200, (POINTS, 3)).astype(np.float32)
    said = attributes_of(FaceMesh(points, None))
    assert (said.left_eye_blink, said.right_eye_blink, said.smile) == (None, None, None)
    assert said.mouth_openness is not None
    assert said.mouth_openness >= 0
    assert said.left_eye_contour[0] == Point(x=float(points[263, 0]), y=float(points[263, 1]))


def liveness_shape(crop: float) -> InputSpec:
    return InputSpec(width=80, height=80, crop=crop)


def test_liveness_is_the_mean_of_two_networks_and_class_one_is_real() -> None:
    sure, unsure = FakeEngine(out=(0, 20, 0)), FakeEngine(out=(1, 1, 1))
    networks = [Network(sure, liveness_shape(2.7)), Network(unsure, liveness_shape(4.0))]
    (said,) = face_networks.liveness(networks, INFO).read([a_view()])
    assert said.score == pytest.approx((1 + 1 / 3) / 2, abs=1e-6)
    assert said.model_id == "fake"
    assert sure.batches[-1].shape == (1, 3, 80, 80)


def test_probabilities_are_not_made_into_probabilities_again() -> None:
    engine = FakeEngine(out=(0.1, 0.7, 0.2))
    (said,) = face_networks.liveness([Network(engine, liveness_shape(2.7))], INFO).read([a_view()])
    assert said.score == pytest.approx(0.7)


def test_the_eye_on_the_left_of_the_picture_is_the_persons_right() -> None:
    image = np.full((240, 320, 3), 60, np.uint8)
    image[:, 150:] = 200

    class Bright(FakeEngine):
        """Says that what is bright is open."""

        @override
        def run(self, batch: Tensor) -> Outputs:
            bright = batch.mean(axis=(1, 2, 3)) > 0
            return {"out": np.stack([~bright, bright], axis=1).astype(np.float32)}

    shape = InputSpec(width=32, height=32, mean=(127.0,) * 3, scale=(255.0,) * 3)
    (said,) = face_networks.eye_state([Network(Bright(), shape)], INFO).read([a_view(image)])
    assert (said.left_open, said.right_open) == (1, 0)


def test_the_pitch_of_the_pose_network_is_turned_to_our_sign() -> None:
    engine = FakeEngine(angle_p_fc=[10], angle_r_fc=[3], angle_y_fc=[25])
    (said,) = face_networks.head_pose([Network(engine, InputSpec(width=60, height=60))], INFO).read(
        [a_view()]
    )
    assert (said.yaw, said.pitch, said.roll) == (25, -10, 3)


def test_age_and_gender_are_told_by_the_outputs_sizes() -> None:
    engine = FakeEngine(age_conv3=[0.31], prob=[0.2, 0.8])
    (said,) = face_networks.age_gender(
        [Network(engine, InputSpec(width=62, height=62))], INFO
    ).read([a_view()])
    assert (said.age_group, said.gender) == ("25-34", "male")
    assert said.gender_confidence == pytest.approx(0.8)


def test_an_eye_of_which_the_network_is_too_sure_for_a_number_is_open() -> None:
    engine = FakeEngine(out=(0, math.nan))
    (said,) = face_networks.eye_state([Network(engine, InputSpec(width=32, height=32))], INFO).read(
        [a_view()]
    )
    assert (said.left_open, said.right_open) == (1, 1)


def test_faces_of_any_place_share_a_run() -> None:
    engine = FakeEngine(out=(0, 1, 0))
    reader = face_networks.liveness([Network(engine, liveness_shape(2.7))], INFO)
    views = [a_view(), a_view(x=0, y=0, side=240), a_view(x=300, y=220, side=20)]
    assert len(reader.read(views)) == 3
    assert len(engine.batches[-1]) == 3
    assert reader.read([]) == []


def test_an_engine_that_refuses_is_an_engine_error() -> None:
    engine = FakeEngine(out=(0, 1, 0))
    reader = face_networks.liveness([Network(engine, liveness_shape(2.7))], INFO)
    engine.refuses = True
    with pytest.raises(EngineError):
        reader.read([a_view()])


def test_colours_and_levels_are_those_that_the_network_wants() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, :, 2] = 255
    engine = FakeEngine(out=(0, 1, 0))
    shape = InputSpec(width=8, height=8, colour="RGB", mean=(127.5,) * 3, scale=(127.5,) * 3)
    face_networks.liveness([Network(engine, shape)], INFO).read([a_view(image)])
    assert engine.batches[-1][0, :, 4, 4].tolist() == [1, -1, -1]


class Grid(FakeEngine):
    """A YOLOX that sees a person in the first cell."""

    @override
    def run(self, batch: Tensor) -> Outputs:
        if self.refuses:
            raise EngineError("no")
        rows: NDArray[np.float32] = np.zeros((len(batch), count(416, 416), 85), np.float32)
        rows[:, 0, 2:4] = np.log(5)
        rows[:, 0, 4:6] = 0.9
        return {"output": rows}


def test_objects_come_back_in_pixels_of_their_pictures() -> None:
    detector = YoloDetector(Grid(), info=INFO, shape=InputSpec(width=416, height=416))
    small, large = detector.detect(
        [np.zeros((100, 200, 3), np.uint8), np.zeros((416, 832, 3), np.uint8)]
    )
    assert (small[0].box.x2, large[0].box.x2) == pytest.approx((20, 40))
    assert small[0].class_name == "person"
    assert detector.detect([]) == []


def test_another_network_is_no_object_detector() -> None:
    with pytest.raises(ConfigurationError, match="shape"):
        YoloDetector(FakeEngine(out=(1, 2)), info=INFO, shape=InputSpec(width=416, height=416))


class Cells(FakeEngine):
    """A YOLO v8 export that sees one person in each picture, and says it for one picture more."""

    extra = 0

    @override
    def run(self, batch: Tensor) -> dict[str, Tensor]:
        values: Tensor = np.zeros((len(batch) + self.extra, 84, 20), np.float32)
        values[:, :5, 3] = (10, 10, 20, 20, 0.9)
        return {"output0": values}


def test_a_yolo_export_finds_objects_by_its_family() -> None:
    shape = InputSpec(width=416, height=416, scale=(255.0, 255.0, 255.0))
    detector = YoloDetector(Cells(), info=INFO, shape=shape, decoder="yolov8")
    (found,) = detector.detect([np.zeros((416, 832, 3), np.uint8)])
    assert [(thing.class_name, thing.box.x2) for thing in found] == [("person", 40.0)]
    detector = YoloDetector(engine := Cells(), info=INFO, shape=shape, decoder="yolov8")
    engine.extra = 1
    with pytest.raises(EngineError, match="for 2 pictures, not for 1"):
        detector.detect([np.zeros((9, 9, 3), np.uint8)])


@pytest.mark.parametrize("decoder", ["yolov8", "yolox"])
def test_an_export_of_another_family_is_refused(decoder: str) -> None:
    shape = InputSpec(width=416, height=416)
    wrong: FakeEngine = Grid() if decoder == "yolov8" else Cells()
    with pytest.raises(ConfigurationError, match="the output needs"):
        YoloDetector(wrong, info=INFO, shape=shape, decoder=decoder)


def test_a_family_that_nobody_can_read_lists_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match="decoder yolov5 is none of yolox, yolov8"):
        YoloDetector(Cells(), info=INFO, shape=InputSpec(width=416, height=416), decoder="yolov5")


def test_an_object_engine_that_refuses_is_an_engine_error() -> None:
    engine = Grid()
    detector = YoloDetector(engine, info=INFO, shape=InputSpec(width=416, height=416))
    engine.refuses = True
    with pytest.raises(EngineError):
        detector.detect([np.zeros((9, 9, 3), np.uint8)])


def test_a_file_that_is_no_bundle_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    bundle = tmp_path / "face_landmarker.task"
    bundle.write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"face_landmarker\.task"):
        FaceLandmarker(bundle, info=INFO)


def test_a_face_that_cannot_be_cut_is_an_engine_error(models_dir: Path) -> None:
    bundle = models_dir / "face_landmarks" / "face_landmarker.task"
    if not bundle.is_file():
        pytest.skip("SIGHTLINE_MODELS_DIR has no face landmarker")
    landmarker = FaceLandmarker(bundle, info=INFO)
    with pytest.raises(EngineError):
        landmarker.read([a_view(np.zeros((0, 0, 3), np.uint8))])


def test_there_are_52_blendshapes() -> None:
    assert SHAPES == 52
