"""The real models on real faces; public-domain portraits that small packages ship."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import dlib
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from services.recognition.tests.arranging import FakeEmbedder
from skimage.transform import SimilarityTransform, warp

from inference.engine import EngineOptions
from inference.openvino_core import process_core
from inference.running import Running
from mesh.errors import ConfigurationError
from mesh.events import FaceChip, Point
from mesh.models import ModelRegistry, ModelStore
from recognition.adapters.dlib_embedder import DlibEmbedder
from recognition.adapters.model_pack import embedder_of, load_embedder
from recognition.domain.alignment import ARCFACE_112
from recognition.domain.calibration import CALIBRATIONS
from recognition.domain.embedding import is_zero
from recognition.ports import FaceEmbedder

Picture = NDArray[np.uint8]
_MODELS = os.environ.get("SIGHTLINE_MODELS_DIR")

# Box as x, y, side; then eyes, nose and corners of the mouth, pixels of the portraits.
ASTRONAUT = ((175, 76, 90), ((200, 102), (247, 103), (220, 125), (199, 143), (240, 144)))
ADMIRAL = ((180, 139, 186), ((227, 193), (308, 195), (266, 240), (229, 268), (302, 270)))
Face = tuple[tuple[int, int, int], tuple[tuple[int, int], ...]]


def astronaut() -> Picture:
    picture: Picture = np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])
    return picture


def admiral() -> Picture:
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    picture: Picture = np.asarray(cv2.imread(str(path)), dtype=np.uint8)
    return picture


def chip(
    picture: Picture,
    face: Face,
    *,
    size: int = 224,
    quality: int = 92,
) -> FaceChip:
    """A chip as detection cuts it: 40 % margin, JPEG."""
    (x, y, box), points = face
    side = round(box * 1.4)
    left, top = x + box // 2 - side // 2, y + box // 2 - side // 2
    crop = picture[top : top + side, left : left + side]
    edge = min(size, side)
    small = cv2.resize(crop, (edge, edge), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    scale = edge / side
    landmarks = tuple(Point(x=(px - left) * scale, y=(py - top) * scale) for px, py in points)
    return FaceChip(image=data.tobytes(), width=edge, height=edge, landmarks=landmarks)


def similarity(embedder: FaceEmbedder, one: FaceChip, other: FaceChip) -> float:
    vectors = embedder.embed([one, other])
    return float(vectors[0] @ vectors[1])


@pytest.fixture(scope="module")
def dlib_pack() -> FaceEmbedder:
    return load_embedder("dlib", ModelStore(folder=None, cache=Path("none")), threads=1)


def models() -> ModelStore:
    if _MODELS is None:
        pytest.skip("SIGHTLINE_MODELS_DIR names no folder with the weights of the embedders")
    return ModelStore(folder=Path(_MODELS), cache=Path(_MODELS))


def network(model_id: str, engine: str) -> FaceEmbedder:
    registry = ModelRegistry.load()
    pack = replace(registry.pack("yunet-omz"), embedder=registry.models[model_id])
    return load_embedder(pack, models(), threads=1, running=Running(wanted=engine))


@pytest.fixture(scope="module")
def omz() -> FaceEmbedder:
    return load_embedder("yunet-omz", models(), threads=1)


@pytest.fixture(scope="module")
def mobilefacenet() -> FaceEmbedder:
    return network("mobilefacenet-ms1m", "onnxruntime")


@pytest.fixture(scope="module")
def mobilefacenet_openvino() -> FaceEmbedder:
    return network("mobilefacenet-ms1m", "openvino")


@pytest.fixture(scope="module")
def mobilefacenet_torch() -> FaceEmbedder:
    """On torch's CPU device, as it would be on a GPU."""
    pytest.importorskip("torch", reason="the extra inference[torch] is not installed")
    from inference.torch_engine import TorchEngine  # noqa: PLC0415 -- an extra
    from inference.torch_places import Host  # noqa: PLC0415 -- an extra

    model = ModelRegistry.load().models["mobilefacenet-ms1m"]
    (path,) = models().files(model).values()
    engine = TorchEngine(
        path,
        EngineOptions(max_batch=8),
        sides=(3, ARCFACE_112.size, ARCFACE_112.size),
        place=Host(),
    )
    info = replace(network(model.model_id, "onnxruntime").info, engine="torch")
    assert model.input
    return embedder_of(engine, info=info, template=ARCFACE_112, shape=model.input)


def dimmed(picture: Picture) -> Picture:
    dark: Picture = cv2.convertScaleAbs(picture, alpha=0.6, beta=10)
    return dark


def mirrored(picture: Picture, face: Face) -> tuple[Picture, Face]:
    (x, y, side), points = face
    width = picture.shape[1]
    left_eye, right_eye, nose, left_mouth, right_mouth = ((width - px, py) for px, py in points)
    swapped = (right_eye, left_eye, nose, right_mouth, left_mouth)
    return np.ascontiguousarray(picture[:, ::-1]), ((width - x - side, y, side), swapped)


class TestEveryEmbedder:
    @pytest.fixture(
        params=[
            "dlib_pack",
            "omz",
            "mobilefacenet",
            "mobilefacenet_openvino",
            "mobilefacenet_torch",
        ]
    )
    def embedder(self, request: pytest.FixtureRequest) -> FaceEmbedder:
        embedder: FaceEmbedder = request.getfixturevalue(request.param)
        embedder.warm_up()
        return embedder

    @pytest.mark.parametrize(("picture", "face"), [(astronaut, ASTRONAUT), (admiral, ADMIRAL)])
    def test_a_person_stays_the_same_in_other_crops_and_light(
        self, embedder: FaceEmbedder, picture: Callable[[], Picture], face: Face
    ) -> None:
        threshold = CALIBRATIONS[embedder.info.model_id].threshold(1000)
        photo = chip(picture(), face)
        small = chip(picture(), face, size=80, quality=75)
        assert similarity(embedder, photo, small) > threshold
        assert similarity(embedder, photo, chip(dimmed(picture()), face)) > threshold
        assert similarity(embedder, photo, chip(*mirrored(picture(), face))) > threshold

    def test_different_persons_are_told_apart(self, embedder: FaceEmbedder) -> None:
        floor = CALIBRATIONS[embedder.info.model_id].floor
        one, other = chip(astronaut(), ASTRONAUT), chip(admiral(), ADMIRAL)
        assert similarity(embedder, one, other) < floor

    def test_rows_are_unit_vectors_in_order(self, embedder: FaceEmbedder) -> None:
        one, other = chip(astronaut(), ASTRONAUT), chip(admiral(), ADMIRAL)
        rows = embedder.embed([one, other, one])
        assert rows.shape == (3, embedder.info.dim)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
        assert float(rows[0] @ rows[2]) > 0.999

    def test_a_chip_that_is_no_picture_is_a_row_of_zeros(self, embedder: FaceEmbedder) -> None:
        good = chip(astronaut(), ASTRONAUT)
        rows = embedder.embed([replace(good, image=b"nonsense"), replace(good, image=b""), good])
        assert [is_zero(row) for row in rows] == [True, True, False]

    def test_any_batch_of_any_sizes_gives_what_single_calls_give(
        self, embedder: FaceEmbedder
    ) -> None:
        chips = [
            chip(picture, face, size=size)
            for picture, face in ((astronaut(), ASTRONAUT), (admiral(), ADMIRAL))
            for size in (60, 112, 224)
        ]
        alone = np.concatenate([embedder.embed([one]) for one in chips])

        @settings(max_examples=5, deadline=None)
        @given(st.lists(st.integers(0, len(chips) - 1), min_size=1, max_size=9))
        def batch_equals_single(chosen: list[int]) -> None:
            rows = embedder.embed([chips[index] for index in chosen])
            assert np.abs(rows - alone[chosen]).max() < 1e-3

        batch_equals_single()

    def test_no_chips_make_no_rows(self, embedder: FaceEmbedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.info.dim)


class TestOnADevice:
    @pytest.mark.parametrize("other", ["mobilefacenet", "mobilefacenet_openvino"])
    def test_faces_become_the_vectors_that_other_engines_make(
        self, mobilefacenet_torch: FaceEmbedder, other: str, request: pytest.FixtureRequest
    ) -> None:
        chips = [
            *(chip(*one, size=size) for one in PORTRAITS for size in (80, 112, 224)),
            *faces_at_hand(),
        ]
        ours = mobilefacenet_torch.embed(chips)
        theirs = request.getfixturevalue(other).embed(chips)
        assert theirs.any(axis=1).all()
        assert (ours * theirs).sum(axis=1).min() > 0.999


PORTRAITS = ((astronaut(), ASTRONAUT), (admiral(), ADMIRAL))


def faces_at_hand() -> list[FaceChip]:
    """Middles of portraits beside the project, with points where a middle has its face."""
    folder = Path(os.environ.get("SIGHTLINE_DATA_DIR", "nowhere")) / "images" / "krasserm_lfw100"
    points = tuple(Point(x=x, y=y) for x, y in ARCFACE_112.points)
    found = []
    for path in sorted(folder.glob("*/*.jp*g"))[:80]:
        picture = np.asarray(cv2.imread(str(path)))
        side = min(picture.shape[:2]) // 2
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        small = cv2.resize(picture[top : top + side, left : left + side], (112, 112))
        _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 92])
        found.append(FaceChip(image=data.tobytes(), width=112, height=112, landmarks=points))
    return found


class TestDlib:
    def test_it_sees_what_dlib_itself_sees_in_the_whole_picture(
        self, dlib_pack: FaceEmbedder
    ) -> None:
        store = ModelStore(folder=None, cache=Path("none"))
        files = store.locate(ModelRegistry.load().models["dlib-resnet-v1"])
        predictor, network = (
            dlib.shape_predictor(str(files["shape_predictor_5_face_landmarks.dat"])),
            dlib.face_recognition_model_v1(str(files["dlib_face_recognition_resnet_model_v1.dat"])),
        )
        box = dlib.rectangle(175, 76, 265, 166)
        colours = np.ascontiguousarray(astronaut()[:, :, ::-1])
        swapped = astronaut()
        right, wrong = (
            np.array(network.compute_face_descriptor(picture, predictor(picture, box)))
            for picture in (colours, swapped)
        )
        ours = dlib_pack.embed([chip(astronaut(), ASTRONAUT)])[0]
        to_right = float(ours @ right / np.linalg.norm(right))
        to_wrong = float(ours @ wrong / np.linalg.norm(wrong))
        assert to_right > 0.997
        assert to_wrong < 0.995


class TestOmz:
    @pytest.mark.parametrize(("picture", "face"), [(astronaut, ASTRONAUT), (admiral, ADMIRAL)])
    def test_alignment_and_colours_are_what_the_model_was_trained_with(
        self, omz: FaceEmbedder, picture: Callable[[], Picture], face: Face
    ) -> None:
        ours = omz.embed([chip(picture(), face)])[0]
        assert float(ours @ reference(picture(), face)) > 0.99
        assert float(ours @ reference(picture()[:, :, ::-1], face)) < 0.97
        unaligned = ((0, 0, 0), tuple((px + 12, py - 12) for px, py in face[1]))
        assert float(ours @ reference(picture(), unaligned)) < 0.95

    def test_landmarks_that_are_all_one_point_give_no_embedding(self, omz: FaceEmbedder) -> None:
        good = chip(astronaut(), ASTRONAUT)
        rows = omz.embed(
            [replace(good, landmarks=good.landmarks[:1] * 5), replace(good, landmarks=())]
        )
        assert not rows.any()


def reference(picture: Picture, face: Face) -> NDArray[np.float32]:
    """The model run by hand on the whole picture: skimage's estimate, BGR, 0 to 255."""
    assert _MODELS is not None
    folder = Path(_MODELS) / "face_recognition"
    name = "face-reidentification-retail-0095"
    template = np.array([(x * 128, y * 128) for x, y in _PUBLISHED])
    move = SimilarityTransform.from_estimate(np.array(face[1], dtype=np.float64), template)
    warped = warp(picture, move.inverse, output_shape=(128, 128), preserve_range=True)
    compiled = process_core().compile_model(folder / f"{name}.xml", "CPU")
    output = compiled(warped.astype(np.float32).transpose(2, 0, 1)[None])[0].reshape(-1)
    vector: NDArray[np.float32] = output / np.linalg.norm(output)
    return vector


_PUBLISHED = (
    (0.3156, 0.4616), (0.6826, 0.4616), (0.5003, 0.6405), (0.3495, 0.8247), (0.6534, 0.8233),
)  # fmt: skip
"""The landmarks of an aligned face in the model's README."""


class TestPacks:
    def test_a_missing_model_is_refused_by_the_name_of_its_file(self, tmp_path: Path) -> None:
        store = ModelStore(folder=tmp_path, cache=tmp_path)
        with pytest.raises(ConfigurationError, match="face-reidentification-retail-0095"):
            load_embedder("yunet-omz", store, threads=1)

    def test_an_unknown_pack_is_refused(self, tmp_path: Path) -> None:
        store = ModelStore(folder=tmp_path, cache=tmp_path)
        with pytest.raises(ConfigurationError, match="yunet-omz, dlib"):
            load_embedder("other", store, threads=1)

    def test_dlib_files_that_are_none_are_refused_by_name(self, tmp_path: Path) -> None:
        broken = tmp_path / "predictor.dat"
        broken.write_text("nonsense")
        with pytest.raises(ConfigurationError, match=r"predictor\.dat"):
            DlibEmbedder(predictor=broken, network=broken, info=FakeEmbedder().info)
