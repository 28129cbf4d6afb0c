"""A stage as a process of its own: it answers frames slowly, and some frames kill or hang it."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from mesh.codec import AvroCodec
from mesh.events import FrameCaptured, Outcome
from mesh.kafka import WorkerOptions, WorkerPolicy, build_worker
from mesh.process import Process, run_service
from mesh.record import Record
from mesh.scheduler import LaneSpec
from mesh.settings import MeshSettings
from mesh.stage import Emit, Output, Reject
from mesh.testing import a_frame_detected
from mesh.topics import Topics

POISON = int(os.environ.get("TEST_POISON", "-1"))
HANGS = int(os.environ.get("TEST_HANG", "-1"))
BATCH_SECONDS = float(os.environ.get("TEST_BATCH_SECONDS", "60"))
SECONDS = float(os.environ.get("TEST_SECONDS", "0.02"))


class SlowStage:
    """Takes its time for each frame; one kills it, one never ends."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def process(self, batch: Sequence[Record[FrameCaptured]]) -> Sequence[Emit | Reject]:
        for record in batch:
            time.sleep(SECONDS)
            if record.event.frame.sequence_number == POISON:
                os.kill(os.getpid(), signal.SIGKILL)
            if record.event.frame.sequence_number == HANGS:
                threading.Event().wait()
        return [self._answer(record, Outcome.PROCESSED, None) for record in batch]

    def give_up(
        self, batch: Sequence[Record[FrameCaptured]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        return [self._answer(record, Outcome(outcome), reason) for record in batch]

    def _answer(self, record: Record[FrameCaptured], outcome: Outcome, reason: str | None) -> Emit:
        frame = record.event.frame
        event = a_frame_detected(frame=frame, outcome=outcome, reason=reason, faces=())
        return Emit([Output(self._topics("detections"), frame.camera_id, event)])


def body(settings: MeshSettings, process: Process) -> None:
    topics = settings.topics
    build_worker(
        settings,
        stage=SlowStage(topics),
        group="slow",
        lanes=[LaneSpec(name="request", topics=(topics("frames.request"),))],
        codec=AvroCodec.in_memory(topics),
        health=process.health,
        stop=process.stop,
        options=WorkerOptions(
            metrics=process.metrics,
            policy=WorkerPolicy(batch_timeout=timedelta(seconds=BATCH_SECONDS)),
        ),
    ).run()


if __name__ == "__main__":
    run_service("slow", MeshSettings, body)
