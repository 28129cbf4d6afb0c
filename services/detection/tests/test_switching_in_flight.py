"""Another model takes over while frames keep coming, and no frame is lost or late for it."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from subprocess import Popen

import pytest
from services.detection.tests.running import PATIENCE, Reader, wait_until

from mesh.events import FrameCaptured, FrameDetected, Lane, LedgerEntry, LogEvent, Outcome, Purpose
from mesh.identity import frame_key, new_id
from mesh.testing import a_detection_config, a_frame_captured, a_frame_header, a_request

FIRST = "dlib-hog-5pt"
PERIOD_SECONDS = 0.2
IN_TIME = timedelta(seconds=10)
"""What a client waits for, and how old a camera's frame may be."""
SOME = 8
"""Frames that are to come before and after each switch."""


class Stream:
    """Frames at a steady pace: one that a client waits for, then one of a camera, and so on."""

    def __init__(self, reader: Reader, image: bytes) -> None:
        self.sent: list[FrameCaptured] = []
        self._reader = reader
        self._image = image
        self._cameras = {lane: new_id("cam") for lane in (Lane.REQUEST, Lane.LIVE)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number in count():
            for lane, camera in self._cameras.items():
                if self._stop.wait(PERIOD_SECONDS):
                    return
                event = self._frame(lane, camera, number)
                self._reader.send(event)
                self.sent.append(event)

    def _frame(self, lane: Lane, camera: str, number: int) -> FrameCaptured:
        now, asked = datetime.now(UTC), lane is Lane.REQUEST
        header = a_frame_header(
            camera_id=camera,
            sequence_number=number,
            frame_key=frame_key(camera, 1, number),
            lane=lane,
            received_timestamp=now,
            purpose=Purpose.PROCESS_FRAME if asked else Purpose.SURVEILLANCE,
            deadline=now + IN_TIME if asked else None,
        )
        config = a_detection_config(max_age_ms=round(IN_TIME / timedelta(milliseconds=1)))
        event = a_frame_captured(frame=header, image=self._image, detection=config)
        return replace(event, request=a_request() if asked else None)


@pytest.fixture
def stream(reader: Reader, jpeg: Callable[..., bytes]) -> Iterator[Callable[[], Stream]]:
    """Starts a steady stream of frames; it ends with the test."""
    started: list[Stream] = []

    def start() -> Stream:
        started.append(Stream(reader, jpeg(side=70)))
        return started[-1]

    yield start
    for each in started:
        each.close()


def detected(reader: Reader) -> list[FrameDetected]:
    return [event for event in list(reader.seen) if isinstance(event, FrameDetected)]


def superseded(reader: Reader) -> list[tuple[str, int]]:
    """Camera and number of the frames that a newer one overtook."""
    return [
        (entry.camera_id, number)
        for entry in list(reader.seen)
        if isinstance(entry, LedgerEntry) and entry.reason == "superseded"
        for span in entry.ranges
        for number in range(span.first, span.last + 1)
    ]


def named(events: Sequence[FrameDetected | FrameCaptured]) -> list[tuple[str, int]]:
    return [(event.frame.camera_id, event.frame.sequence_number) for event in events]


def switches(reader: Reader) -> list[LogEvent]:
    kinds = {"model_switched", "model_switch_refused"}
    return [
        event
        for event in list(reader.seen)
        if isinstance(event, LogEvent) and event.event_type in kinds
    ]


def until_told(reader: Reader, count: int) -> None:
    """Wait until so many commands were answered."""
    wait_until(lambda: len(switches(reader)) >= count)


def some_more(reader: Reader) -> None:
    """Wait for a few frames that were detected after this moment."""
    seen = len(detected(reader))
    wait_until(lambda: len(detected(reader)) >= seen + SOME)


@pytest.mark.integration
def test_no_frame_is_lost_or_late_while_two_models_take_over_from_each_other(
    reader: Reader,
    second_model: str,
    service: "Popen[bytes]",
    stream: Callable[[], Stream],
    jpeg: Callable[..., bytes],
) -> None:
    first = reader.detect(jpeg())
    steady = stream()
    for number, model_id in enumerate((second_model, FIRST), start=1):
        some_more(reader)
        reader.switch(model_id)
        until_told(reader, number)
    some_more(reader)
    steady.close()
    wait_until(lambda: len(detected(reader)) - 1 + len(superseded(reader)) >= len(steady.sent))

    frames = [event for event in detected(reader) if event.frame.frame_key != first.frame.frame_key]
    assert sorted(named(frames) + superseded(reader)) == sorted(named(steady.sent))
    assert {(event.outcome, event.reason) for event in frames} == {(Outcome.PROCESSED, None)}
    late = [
        event.frame.sequence_number
        for event in frames
        if event.stages[-1].ended_at > event.frame.received_timestamp + IN_TIME
    ]
    assert late == []
    assert [
        (event.attributes["model_id"], event.attributes["serving_before"])
        for event in switches(reader)
    ] == [(second_model, FIRST), (FIRST, second_model)]
    by_end = sorted(frames, key=lambda event: event.stages[-1].ended_at)
    served = [use.model_id for event in by_end for use in event.models]
    assert len(served) == len(frames)
    assert [model for model, _ in groupby(served)] == [FIRST, second_model, FIRST]
    service.send_signal(signal.SIGTERM)
    assert service.wait(PATIENCE) == 0
