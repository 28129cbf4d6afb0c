"""Records of the topics become the gateway's state and its clients' events."""

import asyncio
from collections.abc import Callable
from typing import Any

from mesh.errors import TransientError
from mesh.events import (
    Answer,
    CameraStatus,
    FrameResult,
    ModelStatus,
    Person,
    Purpose,
    Sighting,
)
from mesh.record import Record
from mesh.topics import Topics
from results.adapters.live import LiveState, NameCache
from results.adapters.live_answers import Answers
from results.adapters.live_hub import Hub
from results.domain.feed import camera_event, detection_event, sighting_event
from results.domain.rendering import Names, persons_of

_SHOWN = (Purpose.SURVEILLANCE, Purpose.PROCESS_FRAME)
BEGINNING = ("camera-status", "model-status")
"""Compacted topics that are read whole at start."""
END = ("results", "sightings", "answers", "persons")
"""Topics that are read from their end: only the present counts."""


class Feed:
    """Handles the records that the tails read, in their threads; the hub lives in the loop."""

    def __init__(
        self, *, topics: Topics, state: LiveState, names: NameCache, answers: Answers, hub: Hub
    ) -> None:
        self._topics = topics
        self._state = state
        self._names = names
        self._answers = answers
        self._hub = hub
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send events to clients in this loop from now on."""
        self._loop = loop

    def handle(self, record: Record[Any]) -> None:
        """Take one record; a record of `None` is a tombstone."""
        match record.event:
            case FrameResult() as result:
                self._result(result)
            case Answer() as answer:
                self._answers.deliver(answer)
            case Sighting() as sighting:
                names = self._lookup({sighting.person_id} if sighting.person_id else set())
                person = names.get(sighting.person_id or "")
                event = sighting_event(sighting, person)
                self._in_loop(lambda: self._hub.sighting(sighting, event))
            case CameraStatus() as status:
                self._state.set_status(status.camera_id, status)
                event = camera_event(status)
                self._in_loop(lambda: self._hub.camera(status.camera_id, event))
            case ModelStatus() as model:
                self._state.set_model(model.model_id, model)
            case Person() as person:
                self._names.put(person.person_id, person)
            case None if record.key is not None:
                self._tombstone(record.topic, record.key)
            case _:
                pass

    def _result(self, result: FrameResult) -> None:
        if result.frame.purpose not in _SHOWN or not self._state.add_result(result):
            return
        if not len(self._hub):
            return
        event = detection_event(result, self._lookup(persons_of(result.detections)))
        self._in_loop(lambda: self._hub.detections(result, event))

    def _lookup(self, person_ids: set[str]) -> Names:
        try:
            return self._names.named(person_ids)
        except TransientError:
            # An event without a name is better than none: clients can ask for it by id.
            return {}

    def _tombstone(self, topic: str, key: str) -> None:
        if topic == self._topics("persons"):
            self._names.put(key, None)
        elif topic == self._topics("camera-status"):
            self._state.set_status(key, None)
        elif topic == self._topics("model-status"):
            self._state.set_model(key, None)

    def _in_loop(self, action: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(action)
