"""The cloud link, against a local server that answers like Amazon Rekognition (JSON 1.1)."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from detection.adapters.rekognition import RekognitionDetector
from detection.ports import CloudPolicy
from detection.settings import DetectionSettings
from inference.engine import EngineError
from mesh.errors import ConfigurationError

PICTURE = np.full((200, 400, 3), 90, np.uint8)
FACE: dict[str, Any] = {
    "BoundingBox": {"Left": 0.25, "Top": 0.1, "Width": 0.2, "Height": 0.5},
    "Confidence": 99.5,
    "Landmarks": [
        {"Type": "mouthRight", "X": 0.39, "Y": 0.5},
        {"Type": "mouthLeft", "X": 0.31, "Y": 0.5},
        {"Type": "nose", "X": 0.35, "Y": 0.4},
        {"Type": "eyeRight", "X": 0.4, "Y": 0.3},
        {"Type": "eyeLeft", "X": 0.3, "Y": 0.3},
    ],
    "Pose": {"Roll": 0.0, "Yaw": 0.0, "Pitch": 0.0},
    "Quality": {"Brightness": 80.0, "Sharpness": 80.0},
}
FACES = (200, {"FaceDetails": [FACE], "OrientationCorrection": "ROTATE_0"})
THROTTLED = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
BROKEN = (500, {"__type": "InternalServerError", "message": "internal"})
DENIED = (400, {"__type": "AccessDeniedException", "message": "no"})
Answer = tuple[int, dict[str, Any]]


class Cloud:
    """Answers requests in order as it is told; an answer of `None` never comes."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.release = threading.Event()
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                cloud.requests.append((dict(self.headers), json.loads(body)))
                answer = cloud.answers.pop(0)
                if answer is None:
                    cloud.release.wait(60.0)
                    return
                status, content = answer
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            @override
            def log_message(self, format: str, *args: Any) -> None:
                """Requests are no news."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()
        self.policy = CloudPolicy(
            region="eu-west-1",
            endpoint=f"http://127.0.0.1:{self._server.server_address[1]}",
            timeout=60.0,
        )

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def cloud(socket_enabled: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    made = Cloud()
    yield made
    made.close()


@pytest.fixture
def detector(cloud: Cloud) -> RekognitionDetector:
    return RekognitionDetector.connect(cloud.policy)


def test_a_face_comes_back_in_pixels_with_its_points_in_order(
    cloud: Cloud, detector: RekognitionDetector
) -> None:
    cloud.answers = [FACES]
    ((face,),) = detector.detect([PICTURE])
    assert (face.box.x1, face.box.y1, face.box.x2, face.box.y2) == pytest.approx(
        (100.0, 20.0, 180.0, 120.0)
    )
    assert face.confidence == pytest.approx(0.995)
    assert [(point.x, point.y) for point in face.landmarks] == [
        pytest.approx(place) for place in ((120, 60), (160, 60), (140, 80), (124, 100), (156, 100))
    ]
    ((headers, body),) = cloud.requests
    assert headers["X-Amz-Target"] == "RekognitionService.DetectFaces"
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert list(body) == ["Image"]
    assert body["Image"]["Bytes"].startswith("/9j/")


def test_unsure_faces_are_left_out_and_every_picture_is_a_request(
    cloud: Cloud, detector: RekognitionDetector
) -> None:
    cloud.answers = [(200, {"FaceDetails": [FACE | {"Confidence": 60.0}]}), FACES]
    assert [len(faces) for faces in detector.detect([PICTURE, PICTURE])] == [0, 1]
    assert len(cloud.requests) == 2


def test_warming_up_sends_nothing(cloud: Cloud, detector: RekognitionDetector) -> None:
    detector.warm_up()
    assert cloud.requests == []
    assert (detector.info.device, detector.info.model_id) == ("cloud", "aws-rekognition")


def test_a_throttled_request_is_repeated_once(cloud: Cloud, detector: RekognitionDetector) -> None:
    cloud.answers = [THROTTLED, FACES]
    assert len(detector.detect([PICTURE])[0]) == 1


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([THROTTLED, THROTTLED], "ThrottlingException"),
        ([BROKEN, BROKEN], "InternalServerError"),
        ([DENIED], "AccessDeniedException"),
        ([(200, {"Faces": []})], "something else"),
    ],
)
def test_a_refusal_is_an_engine_error(
    cloud: Cloud, detector: RekognitionDetector, answers: list[Answer], reason: str
) -> None:
    cloud.answers = list(answers)
    with pytest.raises(EngineError, match=reason):
        detector.detect([PICTURE])


def test_an_answer_that_never_comes_is_an_engine_error(cloud: Cloud) -> None:
    cloud.answers = [None, None]
    detector = RekognitionDetector.connect(replace(cloud.policy, timeout=0.2))
    with pytest.raises(EngineError, match=r"[Tt]imed? ?out"):
        detector.detect([PICTURE])


def test_a_picture_that_is_none_is_an_engine_error(detector: RekognitionDetector) -> None:
    with pytest.raises(EngineError, match="cannot be used"):
        detector.detect([np.zeros((0, 5, 3), np.uint8)])


Settings = Callable[..., DetectionSettings]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    def load(**variables: str) -> DetectionSettings:
        for name, value in variables.items():
            monkeypatch.setenv(f"SIGHTLINE_{name.upper()}", value)
        return DetectionSettings.load()

    return load


def test_without_consent_the_cloud_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_CLOUD_CONSENT must be true"):
        _ = settings(cloud_region="eu-west-1").cloud


def test_without_a_region_the_cloud_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_CLOUD_REGION"):
        _ = settings(cloud_consent="true").cloud


def test_an_endpoint_that_is_none_is_refused(settings: Settings) -> None:
    policy = settings(
        cloud_consent="true", cloud_region="eu-west-1", cloud_endpoint="nonsense"
    ).cloud
    with pytest.raises(ConfigurationError, match="_ENDPOINT"):
        RekognitionDetector.connect(policy)
