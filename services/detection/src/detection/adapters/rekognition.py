"""Amazon Rekognition's DetectFaces, the last resort when nothing in the house answers.

Pictures leave the installation: only with consent (`SIGHTLINE_CLOUD_CONSENT`), and only for frames
that no other link of the chain could answer. Source: Amazon Rekognition API reference, DetectFaces.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import boto3
import cv2
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from detection.domain.face import Image, Picture, RawFace, pixels
from detection.ports import CloudPolicy, ModelInfo
from inference.engine import EngineError
from mesh.errors import ConfigurationError
from mesh.events import BoundingBox, Point

CONFIDENCE = 0.9
"""Less confident faces are left out; Rekognition reports anything above 0.5 or so."""
_ATTEMPTS = 2
_LONG_SIDE = 1920
_QUALITY = 90
_POINTS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")

INFO = ModelInfo(
    model_id="aws-rekognition",
    name="Amazon Rekognition",
    version="2016-06-27",
    licence="AWS Service Terms",
    sha256="",
    pack="cloud",
    device="cloud",
    engine="rekognition",
)


class RekognitionDetector:
    """Finds faces by a paid service, one request per picture; safe to call from several threads."""

    def __init__(self, client: Any) -> None:
        """Take a client of the service `rekognition`."""
        self._client = client

    @classmethod
    def connect(cls, policy: CloudPolicy) -> Self:
        """A detector in a region; credentials come from where boto3 finds them.

        Raises:
            ConfigurationError: region or endpoint cannot be one.
        """
        config = Config(
            connect_timeout=policy.timeout,
            read_timeout=policy.timeout,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        )
        try:
            client = boto3.client(
                "rekognition",
                region_name=policy.region,
                endpoint_url=policy.endpoint,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"SIGHTLINE_CLOUD_REGION, _ENDPOINT: {error}") from error
        return cls(client)

    @property
    def info(self) -> ModelInfo:
        """The service."""
        return INFO

    def warm_up(self) -> None:
        """Nothing: every call costs money and sends a picture."""

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture, in order; blocks for seconds.

        Raises:
            EngineError: the service refused, throttled or failed, or did not answer in time.
        """
        return [self._detect(pixels(image), long_side or _LONG_SIDE) for image in images]

    def _detect(self, image: Picture, long_side: int) -> list[RawFace]:
        try:
            answer = self._client.detect_faces(Image={"Bytes": _jpeg(image, long_side)})
        except (BotoCoreError, ClientError) as error:
            raise EngineError(f"Rekognition: {error}") from error
        height, width = image.shape[:2]
        try:
            faces = [_face(detail, width, height) for detail in answer["FaceDetails"]]
        except (KeyError, TypeError) as error:
            raise EngineError(f"Rekognition answered something else: {error!r}") from error
        return [face for face in faces if face.confidence >= CONFIDENCE]


def _jpeg(image: Picture, long_side: int) -> bytes:
    """At most about a megabyte; the service takes five."""
    scale = min(1.0, min(long_side, _LONG_SIDE) / max(image.shape[:2]))
    try:
        smaller = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, encoded = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    except cv2.error as error:
        raise EngineError(f"a picture of shape {image.shape} cannot be used: {error}") from error
    return bytes(encoded)


def _face(detail: Mapping[str, Any], width: int, height: int) -> RawFace:
    box = detail["BoundingBox"]
    points = {point["Type"]: point for point in detail["Landmarks"]}
    return RawFace(
        box=BoundingBox(
            x1=box["Left"] * width,
            y1=box["Top"] * height,
            x2=(box["Left"] + box["Width"]) * width,
            y2=(box["Top"] + box["Height"]) * height,
        ),
        confidence=detail["Confidence"] / 100.0,
        landmarks=tuple(
            Point(x=points[name]["X"] * width, y=points[name]["Y"] * height) for name in _POINTS
        ),
    )
