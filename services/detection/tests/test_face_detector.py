"""One contract for every detector: the fake, dlib, and networks where their files are at hand."""

from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.adapters.dlib_detector import DlibDetector
from detection.adapters.engines import load_detector
from detection.domain.dlib_points import confidence_of, from_dlib_points
from detection.domain.face import Picture, RawFace
from detection.domain.geometry import iou_matrix
from detection.ports import FaceDetector, ModelInfo
from inference.engine import EngineError
from inference.running import Running
from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, ModelStore, Pack

ASTRONAUT = np.array([[178.0, 70, 268, 172]])
HOPPER = np.array([[182.0, 130, 360, 330]])


def info(model_id: str) -> ModelInfo:
    return ModelInfo(
        model_id=model_id,
        name=model_id,
        version="1",
        licence="",
        sha256="",
        pack="test",
        device="CPU",
        engine="test",
    )


def best(faces: list[RawFace]) -> RawFace:
    return max(faces, key=lambda face: face.confidence)


def overlap(face: RawFace, box: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> float:
    found = np.array([[face.box.x1, face.box.y1, face.box.x2, face.box.y2]])
    return float(iou_matrix(found, box)[0, 0])


@pytest.fixture(scope="module")
def dlib_detector(predictor: Path) -> FaceDetector:
    return DlibDetector(predictor, info=info("dlib"))


NETWORKS = (
    ("yunet-2023mar", "onnxruntime"),
    ("yunet-2023mar", "openvino"),
    ("scrfd-500m", "onnxruntime"),
    ("scrfd-500m", "openvino"),
    ("scrfd-2.5g", "openvino"),
)


@pytest.fixture(scope="module", params=NETWORKS, ids="-".join)
def network(request: pytest.FixtureRequest, models_dir: Path) -> FaceDetector:
    """A network of the registry on an engine."""
    model_id, engine = request.param
    registry = ModelRegistry.load()
    model, embedder = registry.models[model_id], registry.models["omz-face-reid-0095"]
    return load_detector(
        Pack("test", model, embedder),
        ModelStore(folder=models_dir, cache=models_dir, accepted=[model.accept or ""]),
        long_side=640,
        threads=1,
        max_batch=1,
        running=Running(wanted=engine),
    )


def numbers(face: RawFace) -> list[float]:
    box = face.box
    points = [value for point in face.landmarks for value in (point.x, point.y)]
    return [box.x1, box.y1, box.x2, box.y2, face.confidence, *points]


def assert_same(found: list[list[RawFace]], expected: list[list[RawFace]]) -> None:
    """The same faces in the same order, within a thousandth of a pixel."""
    assert [len(faces) for faces in found] == [len(faces) for faces in expected]
    for one, other in zip(chain(*found), chain(*expected), strict=True):
        assert numbers(one) == pytest.approx(numbers(other), abs=1e-3)


class FaceDetectorContract:
    """What every detector does; a subclass gives the fixture `detector`."""

    def test_no_pictures_have_no_faces(self, detector: FaceDetector) -> None:
        assert detector.detect([]) == []

    @pytest.mark.parametrize("shape", [(1, 1, 3), (3, 700, 3), (90, 160, 3), (900, 20, 3)])
    def test_an_empty_picture_of_any_size_has_no_face(
        self, detector: FaceDetector, shape: tuple[int, int, int]
    ) -> None:
        assert detector.detect([np.zeros(shape, np.uint8)]) == [[]]

    def test_a_batch_gives_what_single_calls_give(
        self, detector: FaceDetector, astronaut: Picture, hopper: Picture
    ) -> None:
        small = cv2.resize(hopper, (320, 180)).astype(np.uint8)
        flipped = np.ascontiguousarray(astronaut[:, ::-1])
        pictures = [astronaut, small, flipped, np.zeros((180, 320, 3), np.uint8), astronaut]
        alone = [detector.detect([picture])[0] for picture in pictures]
        assert_same(detector.detect(pictures), alone)

    def test_the_picture_is_left_as_it_was(
        self, detector: FaceDetector, astronaut: Picture
    ) -> None:
        before = astronaut.copy()
        detector.detect([astronaut])
        assert (astronaut == before).all()

    def test_confidence_is_a_share_and_there_are_five_landmarks(
        self, detector: FaceDetector, astronaut: Picture
    ) -> None:
        for face in detector.detect([astronaut])[0]:
            assert 0 <= face.confidence <= 1
            assert len(face.landmarks) == 5
            assert face.box.x1 < face.box.x2
            assert face.box.y1 < face.box.y2

    def test_warming_up_leaves_nothing_behind(
        self, detector: FaceDetector, astronaut: Picture
    ) -> None:
        before = detector.detect([astronaut])
        detector.warm_up()
        assert detector.detect([astronaut]) == before

    def test_the_model_has_a_name(self, detector: FaceDetector) -> None:
        assert detector.info.model_id


class RealDetectorContract(FaceDetectorContract):
    """What only a detector that sees can do."""

    def test_known_faces_are_found_where_they_are(
        self, detector: FaceDetector, astronaut: Picture, hopper: Picture
    ) -> None:
        for picture, place in ((astronaut, ASTRONAUT), (hopper, HOPPER)):
            faces = [face for face in detector.detect([picture])[0] if face.confidence >= 0.65]
            assert len(faces) == 1
            assert overlap(faces[0], place) > 0.6

    def test_landmarks_are_ordered_as_seen_in_the_picture(
        self, detector: FaceDetector, astronaut: Picture, hopper: Picture
    ) -> None:
        for picture in (astronaut, hopper, np.ascontiguousarray(hopper[:, ::-1])):
            left, right, nose, mouth_left, mouth_right = best(
                detector.detect([picture])[0]
            ).landmarks
            assert left.x < nose.x < right.x
            assert mouth_left.x < mouth_right.x
            assert max(left.y, right.y) < nose.y < min(mouth_left.y, mouth_right.y)

    def test_a_face_keeps_its_place_when_the_picture_is_scaled(
        self, detector: FaceDetector, hopper: Picture
    ) -> None:
        for scale in (0.5, 3.0):
            scaled = cv2.resize(hopper, None, fx=scale, fy=scale).astype(np.uint8)
            face = best(detector.detect([scaled])[0])
            assert overlap(face, HOPPER * scale) > 0.6

    def test_a_picture_of_another_kind_is_an_engine_error(self, detector: FaceDetector) -> None:
        with pytest.raises(EngineError):
            detector.detect([np.zeros((40, 40, 7), np.uint8)])


class TestFakeDetector(FaceDetectorContract):
    @pytest.fixture
    def detector(self, fake_detector: FaceDetector) -> FaceDetector:
        return fake_detector


class TestDlibDetector(RealDetectorContract):
    @pytest.fixture
    def detector(self, dlib_detector: FaceDetector) -> FaceDetector:
        return dlib_detector

    def test_a_file_that_is_no_predictor_refuses_the_start(self, tmp_path: Path) -> None:
        path = tmp_path / "predictor.dat"
        path.write_bytes(b"nonsense")
        with pytest.raises(ConfigurationError, match=r"predictor\.dat"):
            DlibDetector(path, info=info("dlib"))


class TestNetworks(RealDetectorContract):
    @pytest.fixture
    def detector(self, network: FaceDetector) -> FaceDetector:
        return network

    def test_any_batch_of_any_sizes_gives_what_single_calls_give(
        self, detector: FaceDetector, astronaut: Picture, hopper: Picture
    ) -> None:
        sizes = ((512, 512), (160, 96), (96, 160), (333, 200))
        pictures = [
            cv2.resize(source, size).astype(np.uint8)
            for source in (astronaut, hopper)
            for size in sizes
        ]
        alone = [detector.detect([picture])[0] for picture in pictures]

        @settings(max_examples=6, deadline=None)
        @given(st.lists(st.integers(0, len(pictures) - 1), min_size=1, max_size=9))
        def batch_equals_single(chosen: list[int]) -> None:
            found = detector.detect([pictures[index] for index in chosen])
            assert_same(found, [alone[index] for index in chosen])

        batch_equals_single()

    @pytest.mark.parametrize(
        ("name", "count"),
        [
            ("insightface/t1.jpg", 6),
            ("ultralytics/zidane.jpg", 2),
            ("ultralytics/bus.jpg", 2),
            ("openface/lennon-1.jpg", 1),
            ("openface/longoria-cooper.jpg", 2),
        ],
    )
    def test_every_face_of_a_known_picture_is_counted(
        self, detector: FaceDetector, data_dir: Path, name: str, count: int
    ) -> None:
        picture = cv2.imread(str(data_dir / "images" / name))
        assert picture is not None
        assert len(detector.detect([picture.astype(np.uint8)])[0]) == count


def test_dlibs_points_become_ours() -> None:
    points = np.array([[142.0, 100], [126, 100], [82, 100], [98, 100], [112, 136]])
    left, right, nose, mouth_left, mouth_right = from_dlib_points(points)
    assert (left.x, left.y, right.x, right.y) == (90, 100, 134, 100)
    assert nose.x == pytest.approx(112)
    assert 100 < nose.y < 136
    assert (mouth_left.x + mouth_right.x) / 2 == pytest.approx(112)
    assert mouth_left.y == pytest.approx(mouth_right.y)
    assert mouth_left.y > 136


def test_points_that_coincide_stay_finite() -> None:
    points = from_dlib_points(np.zeros((5, 2)))
    assert all(point.x == 0 and point.y == 0 for point in points)


def test_confidence_grows_with_the_score() -> None:
    values = [confidence_of(score) for score in (-0.5, 0.0, 0.62, 1.7, 4.0)]
    assert values == sorted(values)
    assert values[1] == pytest.approx(0.55, abs=0.01)
    assert values[3] == pytest.approx(0.95, abs=0.01)
