"""Records of the topics become the gateway's state and its clients' events."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from mesh.errors import TransientError
from mesh.events import (
    Alert,
    Answer,
    Camera,
    CameraStatus,
    FrameResult,
    ModelStatus,
    Person,
    Purpose,
    Sighting,
)
from mesh.record import Headers, RawRecord, Record
from mesh.topics import Topics
from results.adapters.live import LiveState, NameCache
from results.adapters.live_answers import Answers
from results.adapters.live_hub import Delivery, Hub
from results.adapters.pushes import Pushes
from results.domain.feed import camera_event, detection_event, sighting_event
from results.domain.filters import CAMERAS, DETECTIONS, SIGHTINGS
from results.domain.pushed import PUSHED
from results.domain.rendering import Names, persons_of

_SHOWN = (Purpose.SURVEILLANCE, Purpose.PROCESS_FRAME)
BEGINNING = ("cameras", "camera-status", "model-status")
"""Compacted topics that are read whole at start."""
END = ("results", "sightings", "answers", "persons", "alerts")
"""Topics that are read from their end: only the present counts."""


class FrameObserver(Protocol):
    """Who is told of what reached a client; see `FrameTraces`."""

    def now(self) -> datetime:
        """When a result is taken up, UTC."""

    def sent(self, result: FrameResult, headers: Headers, since: datetime) -> None:
        """The first client has the frame's event; never blocks."""

    def alerting(self, frame_key: str) -> None:
        """An alert names this frame."""


class Feed:
    """Handles the records that the tails read, in their threads; the hub lives in the loop."""

    def __init__(
        self,
        *,
        topics: Topics,
        state: LiveState,
        names: NameCache,
        answers: Answers,
        hub: Hub,
        pushes: Pushes,
        observer: FrameObserver | None = None,
    ) -> None:
        self._topics = topics
        self._state = state
        self._names = names
        self._answers = answers
        self._hub = hub
        self._pushes = pushes
        self._observer = observer
        self._results = topics("results")
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send events to clients in this loop from now on."""
        self._loop = loop

    def decodes(self, record: RawRecord) -> bool:
        """Whether a record is needed at once: results that nobody watches are kept as they came.

        Every gateway reads the results of all cameras, and to decode one takes far longer than to
        read it.
        """
        camera_id = record.key
        if record.topic != self._results or camera_id is None:
            return True
        return not self._state.registered(camera_id) or self._hub.wants(camera_id, DETECTIONS)

    def handle(self, record: Record[Any]) -> None:
        """Take one record: of `None` a tombstone, of bytes a result that is not decoded."""
        match record.event:
            case bytes() as encoded:
                self._state.keep(str(record.key), encoded)
            case FrameResult() as result:
                self._result(result, record.headers)
            case Answer() as answer:
                self._answers.deliver(answer)
            case Sighting() as sighting:
                self._sighting(sighting)
            case CameraStatus() as status:
                self._status(status)
            case _:
                self._note(record)

    def _note(self, record: Record[Any]) -> None:
        match record.event:
            case Alert(frame_key=str(frame_key)) if self._observer is not None:
                self._observer.alerting(frame_key)
            case ModelStatus() as model:
                self._state.set_model(model.model_id, model)
            case Camera() as camera:
                self._state.set_camera(camera.camera_id, camera)
                self._in_loop(lambda: self._pushes.changed(camera.camera_id, camera))
            case Person() as person:
                self._names.put(person.person_id, person)
            case None if record.key is not None:
                self._tombstone(record.topic, record.key)
            case _:
                pass

    def _result(self, result: FrameResult, headers: Headers) -> None:
        delivery = self._delivery(result, headers)
        if result.frame.purpose not in _SHOWN or not self._state.add_result(result):
            return
        if not self._hub.wants(result.frame.camera_id, DETECTIONS):
            return
        event = detection_event(result, self._lookup(persons_of(result.detections)))
        self._in_loop(lambda: self._hub.detections(result, event, delivery))

    def _sighting(self, sighting: Sighting) -> None:
        if not self._hub.wants(sighting.camera_id, SIGHTINGS):
            return
        names = self._lookup({sighting.person_id} if sighting.person_id else set())
        event = sighting_event(sighting, names.get(sighting.person_id or ""))
        self._in_loop(lambda: self._hub.sighting(sighting, event))

    def _status(self, status: CameraStatus) -> None:
        self._state.set_status(status.camera_id, status)
        if self._hub.wants(status.camera_id, CAMERAS):
            event = camera_event(status)
            self._in_loop(lambda: self._hub.camera(status.camera_id, event))
        if status.camera_id in self._pushes:
            self._in_loop(lambda: self._pushes.heard(status))

    def _delivery(self, result: FrameResult, headers: Headers) -> Delivery | None:
        observer = self._observer
        if observer is None:
            return None
        return Delivery(partial(observer.sent, result, headers, observer.now()))

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
        elif topic == self._topics("cameras"):
            self._state.set_camera(key, None)
            self._in_loop(lambda: self._deleted(key))

    def _deleted(self, camera_id: str) -> None:
        """Of a camera that was pushed no camera service tells that its status is over."""
        self._pushes.changed(camera_id, None)
        status = self._state.status(camera_id)
        if status is not None and status.transport == PUSHED:
            self._pushes.forget(camera_id)

    def _in_loop(self, action: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(action)
