"""Models beyond face detection: loading what is at hand, and what they see in real pictures."""

import shutil
import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Never

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from detection.adapters.chained import Places
from detection.adapters.engines import load_detector
from detection.adapters.further_models import Loaded, equip, load_further
from detection.adapters.heartbeats import FurtherHeartbeats
from detection.adapters.tracker import ShortTermTracker
from detection.domain.face import Picture
from detection.domain.face_mesh import attributes_of
from detection.domain.pose import estimate_pose
from detection.ports import FaceDetector, FaceView, FurtherModels, ModelInfo
from inference.engine import EngineOptions
from mesh.clock import SystemClock
from mesh.errors import ConfigurationError, TransientError
from mesh.events import ModelStatus
from mesh.model_status import ModelMeter
from mesh.models import ModelFile, ModelRegistry, ModelStore
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.tasks import NEEDS

PACK = ModelRegistry.load().pack("yunet-omz")
EVERYTHING = tuple(NEEDS)


class Box:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    def send(self, output: Output) -> None:
        self.outputs.append(output)

    def flush(self, timeout: timedelta) -> None:
        """Nothing to wait for."""


class Silent:
    """A model that says nothing."""

    info = ModelInfo(
        model_id="m",
        name="m",
        version="1",
        licence="none",
        sha256="0" * 64,
        pack="fake",
        device="CPU",
        engine="fake",
    )

    def warm_up(self) -> None:
        """Nothing to warm."""


@pytest.fixture(scope="module")
def store(models_dir: Path) -> ModelStore:
    return ModelStore(folder=models_dir, cache=models_dir)


@pytest.fixture(scope="module")
def loaded(store: ModelStore) -> Sequence[Loaded]:
    found = load_further(PACK, store, tasks=EVERYTHING)
    if {item.task for item in found} != {
        *("object-detection", "liveness", "face-landmarks", "eye-state", "head-pose"),
        "age-gender",
    }:
        pytest.skip("SIGHTLINE_MODELS_DIR lacks some of the optional models")
    return found


@pytest.fixture(scope="module")
def models(loaded: Sequence[Loaded]) -> FurtherModels:
    return equip(loaded, persons=ShortTermTracker(prefix="prs"))


@pytest.fixture(scope="module")
def detector(store: ModelStore) -> FaceDetector:
    return load_detector(PACK, store, long_side=640, threads=1, max_batch=1)


@pytest.fixture
def pictures(astronaut: Picture, hopper: Picture) -> Sequence[Picture]:
    """Of three sizes."""
    return astronaut, hopper, cv2.resize(astronaut, (400, 300)).astype(np.uint8)


def faces(detector: FaceDetector, image: Picture) -> list[FaceView]:
    (found,) = detector.detect([image])
    return [FaceView(image, face) for face in found]


def test_without_files_nothing_is_loaded(tmp_path: Path) -> None:
    nowhere = ModelStore(folder=tmp_path, cache=tmp_path)
    assert load_further(PACK, nowhere, tasks=EVERYTHING) == []
    assert equip([], persons=ShortTermTracker()).tasks == {"face-detection"}


def test_an_altered_file_refuses_the_start_by_name(tmp_path: Path) -> None:
    (tmp_path / "yolox_nano_416.onnx").write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"yolox_nano_416\.onnx"):
        load_further(PACK, ModelStore(folder=tmp_path, cache=tmp_path), tasks=["person"])


@pytest.mark.parametrize(
    ("task", "model_id", "at_once"),
    [("liveness", "minifasnet-v2", 64), ("object", "yolox-nano", 8)],
)
def test_a_network_is_prepared_for_as_much_as_it_is_given_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, model_id: str, at_once: int
) -> None:
    def note(*_: object, options: EngineOptions, **__: object) -> Never:
        raise ConfigurationError(f"{options.max_batch} at once")

    monkeypatch.setattr("detection.adapters.further_engines.open_engine", note)
    (tmp_path / "own.onnx").write_bytes(b"a network")
    model = replace(ModelRegistry.load().models[model_id], files=(ModelFile(name="own.onnx"),))
    store = ModelStore(folder=tmp_path, cache=tmp_path)
    with pytest.raises(ConfigurationError, match=f"^{at_once} at once"):
        load_further(replace(PACK, optional=(model,)), store, tasks=[task])


@pytest.mark.parametrize(
    ("tasks", "model_id", "used"),
    [
        (["drowsiness"], "head-pose-adas-0001", ["CPU"]),
        (["age_gender"], "age-gender-0013", ["CPU"]),
        (["liveness"], "minifasnet-v2", ["GPU-0", "CPU"]),
    ],
)
def test_a_further_model_that_no_engine_runs_on_the_gpu_goes_on_the_cpu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tasks: list[str],
    model_id: str,
    used: list[str],
) -> None:
    devices = []

    def build(_: object, device: str) -> Silent:
        devices.append(device)
        return Silent()

    monkeypatch.setattr("detection.adapters.further_models._build", build)
    (tmp_path / "own.onnx").write_bytes(b"a network")
    model = replace(ModelRegistry.load().models[model_id], files=(ModelFile(name="own.onnx"),))
    store = ModelStore(folder=tmp_path, cache=tmp_path)
    places = Places(devices=("GPU-0", "CPU"))
    load_further(replace(PACK, optional=(model,)), store, tasks=tasks, places=places)
    assert devices == used


def test_only_models_of_the_wanted_tasks_are_loaded(models_dir: Path, tmp_path: Path) -> None:
    for path in (models_dir / "eye_state").glob("*.onnx"):
        shutil.copy(path, tmp_path / path.name)
    here = ModelStore(folder=tmp_path, cache=tmp_path)
    (eyes,) = load_further(PACK, here, tasks=["face", "drowsiness"])
    assert (eyes.task, eyes.infos[0].model_id) == ("eye-state", "open-closed-eye-0001")
    assert load_further(PACK, here, tasks=["face", "liveness"]) == []


def test_every_network_has_a_heartbeat(loaded: Sequence[Loaded]) -> None:
    box = Box()
    FurtherHeartbeats(loaded, MeshSettings(), producer=box, drift=lambda _: None).beat()
    statuses = [output.event for output in box.outputs if isinstance(output.event, ModelStatus)]
    assert {status.state for status in statuses} == {"available"}
    assert {(status.task, status.model_id) for status in statuses} == {
        ("age-gender", "age-gender-0013"),
        ("eye-state", "open-closed-eye-0001"),
        ("face-landmarks", "face-landmarker"),
        ("head-pose", "head-pose-adas-0001"),
        ("liveness", "minifasnet-v1se"),
        ("liveness", "minifasnet-v2"),
        ("object-detection", "yolox-nano"),
    }


def test_the_models_of_every_task_are_told(models: FurtherModels) -> None:
    assert all(not models.tasks.isdisjoint(needs) for needs in NEEDS.values())


def test_persons_and_a_bus_are_found(models: FurtherModels, data_dir: Path) -> None:
    picture = cv2.imread(str(data_dir / "images" / "ultralytics" / "bus.jpg"))
    assert picture is not None
    assert models.objects is not None
    (found,) = models.objects.model.detect([picture.astype(np.uint8)])
    sure = [item.class_name for item in found if item.confidence >= 0.65]
    assert sorted(sure) == ["bus", "person", "person", "person"]


def test_an_open_eyed_face_has_open_eyes_and_a_frontal_pose(
    models: FurtherModels, detector: FaceDetector, astronaut: Picture
) -> None:
    (view,) = faces(detector, astronaut)
    assert models.meshes is not None
    assert models.eyes is not None
    assert models.poses is not None
    said = attributes_of(models.meshes.model.read([view])[0])
    assert said.left_eye_openness is not None
    assert said.right_eye_openness is not None
    assert min(said.left_eye_openness, said.right_eye_openness) > 0.15
    assert said.smile is not None
    assert said.smile > 0.5
    box = view.face.box
    for point in (*said.left_eye_contour, *said.right_eye_contour, *said.mouth_contour):
        assert box.x1 <= point.x <= box.x2
        assert box.y1 <= point.y <= box.y2
    left, right = view.face.landmarks[0], view.face.landmarks[1]
    assert np.mean([point.x for point in said.right_eye_contour]) == pytest.approx(left.x, abs=6)
    assert np.mean([point.x for point in said.left_eye_contour]) == pytest.approx(right.x, abs=6)
    pose, rough = models.poses.model.read([view])[0], estimate_pose(view.face.landmarks)
    assert pose.yaw == pytest.approx(rough.yaw, abs=15)
    assert pose.roll == pytest.approx(rough.roll, abs=15)


def test_a_mirrored_face_looks_the_other_way(
    models: FurtherModels, detector: FaceDetector, hopper: Picture
) -> None:
    assert models.poses is not None
    yaws = []
    for image in (hopper, np.ascontiguousarray(hopper[:, ::-1])):
        (view,) = faces(detector, image)
        yaws.append(
            (models.poses.model.read([view])[0].yaw, estimate_pose(view.face.landmarks).yaw)
        )
    (one, rough_one), (other, rough_other) = yaws
    assert one == pytest.approx(-other, abs=8)
    assert (one - other) * (rough_one - rough_other) > 0, "both tell the same side"


def test_a_photo_of_a_photo_is_not_alive(
    models: FurtherModels, detector: FaceDetector, data_dir: Path
) -> None:
    assert models.liveness is not None
    scores = {}
    for name in ("image_T1", "image_F1", "image_F2"):
        picture = cv2.imread(str(data_dir / "images" / "minifas" / "sample" / f"{name}.jpg"))
        assert picture is not None
        (view,) = faces(detector, picture.astype(np.uint8))
        scores[name] = models.liveness.model.read([view])[0].score
    assert scores["image_T1"] > 0.9
    assert max(scores["image_F1"], scores["image_F2"]) < 0.5


def numbers(reading: Any) -> list[float]:
    """Every number of a reading, texts left out."""
    if isinstance(reading, np.ndarray | float | int):
        return [float(value) for value in np.ravel(reading)]
    if isinstance(reading, str) or reading is None:
        return []
    return [value for each in fields(reading) for value in numbers(getattr(reading, each.name))]


@pytest.mark.parametrize("name", ["meshes", "eyes", "poses", "liveness", "ages"])
def test_what_is_said_of_a_face_does_not_depend_on_the_other_faces(
    models: FurtherModels, detector: FaceDetector, pictures: Sequence[Picture], name: str
) -> None:
    model = getattr(models, name).model
    views = [view for image in pictures for view in faces(detector, image)]
    alone = [model.read([view])[0] for view in views]

    @settings(max_examples=8, deadline=None)
    @given(st.lists(st.sampled_from(range(len(views))), min_size=1, max_size=6))
    def any_batch(places: list[int]) -> None:
        together = model.read([views[place] for place in places])
        for said, place in zip(together, places, strict=True):
            assert numbers(said) == pytest.approx(numbers(alone[place]), rel=1e-3, abs=1e-3)

    any_batch()


def test_pictures_do_not_mix_in_the_object_detector(
    models: FurtherModels, pictures: Sequence[Picture]
) -> None:
    assert models.objects is not None
    model = models.objects.model
    alone = [model.detect([image])[0] for image in pictures]

    @settings(max_examples=5, deadline=None)
    @given(st.lists(st.sampled_from(range(len(pictures))), min_size=1, max_size=10))
    def any_batch(places: list[int]) -> None:
        together = model.detect([pictures[place] for place in places])
        assert together == [alone[place] for place in places]

    any_batch()


class BrokenBox(Box):
    """A broker that is away; the first heartbeat that it loses ends the work."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    @override
    def flush(self, timeout: timedelta) -> None:
        self._stop.set()
        raise TransientError("the broker is away")


def test_a_broker_that_is_away_costs_heartbeats_and_nothing_else(
    fake_detector: FaceDetector,
) -> None:
    meter = ModelMeter(SystemClock())
    items = [Loaded("liveness", None, meter, [fake_detector.info])]
    stop, warnings = threading.Event(), list[str]()
    box = BrokenBox(stop)
    beats = FurtherHeartbeats(items, MeshSettings(), producer=box, drift=lambda _: None)
    beats.run(stop, warnings.append)
    assert warnings == ["the broker is away"]
    assert [output.key for output in box.outputs] == ["fake-detector"]
