"""What the gateway keeps of the present, and how it hands it on."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from services.results.tests.person_records import newest_of, with_stale_copies

from mesh.codec import AvroCodec
from mesh.errors import MeshError, TransientError
from mesh.events import Answer, CameraStatus, FrameResult, Person, StreamState
from mesh.kafka.producer import Delivered
from mesh.stage import Output
from mesh.testing import (
    CAMERA_ID,
    NOON,
    PERSON_ID,
    a_camera,
    a_frame_captured,
    a_frame_header,
    a_frame_result,
    a_person,
    a_record,
    a_sighting,
)
from results.adapters.live import LiveState, NameCache, _Seen
from results.adapters.live_answers import KEEP_SECONDS, Answers
from results.adapters.live_hub import QUEUE, Client, Hub
from results.adapters.memory_gateway import InMemoryPersons
from results.adapters.pictures import UNWATCHED_SECONDS, LivePictures
from results.adapters.pillow_pictures import PillowPictures
from results.adapters.publisher import ThreadPublisher
from results.domain.camera_state import Heard
from results.domain.filters import Filters

from .conftest import World, a_model, a_picture


class Ticks:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_result(number: int, **changes: Any) -> Any:
    return a_frame_result(frame=a_frame_header(sequence_number=number), **changes)


def test_a_result_is_live_for_three_seconds() -> None:
    ticks = Ticks()
    state = LiveState(ticks)
    assert state.result(CAMERA_ID) is None
    assert state.seconds_since_result() is None
    assert state.add_result(a_result(1))
    ticks.now = 3.0
    found = state.result(CAMERA_ID)
    assert found is not None
    assert found.age_seconds == 3.0
    ticks.now = 3.1
    assert state.result(CAMERA_ID) is None
    assert state.seconds_since_result() == pytest.approx(3.1)


def test_a_result_counts_once_unless_it_is_corrected() -> None:
    state = LiveState()
    assert state.add_result(a_result(1))
    assert not state.add_result(a_result(1))
    assert state.add_result(a_result(1, revision=1))


def test_keys_are_remembered_for_long_and_not_for_ever() -> None:
    seen = _Seen()
    assert all(seen.add(key) for key in range(100_000))
    assert not any(seen.add(key) for key in range(81_000, 100_000))
    assert seen.add(0)


def test_recent_detections_are_found_again() -> None:
    state = LiveState()
    result = a_result(1)
    state.add_result(result)
    assert state.detection(result.detections[0].detection_id) == (result, result.detections[0])
    assert state.detection("det_x") is None


def test_a_result_that_nobody_watched_is_found_as_if_it_had_been_decoded() -> None:
    codec, ticks = AvroCodec.in_memory(), Ticks()
    state = LiveState(ticks, partial(codec.decode, "sightline.results"))
    older, newer = a_seen(0, 1), a_seen(0, 2)
    for result in (older, newer):
        state.keep(older.frame.camera_id, codec.encode("sightline.results", result))
    found = state.result(older.frame.camera_id)
    assert found is not None
    assert found.result == newer
    assert state.seconds_since_result() == 0.0
    (detection,) = older.detections
    assert state.detection(detection.detection_id) == (older, detection)
    assert state.detection("det_x") is None
    ticks.now = 3.1
    assert state.result(older.frame.camera_id) is None


@pytest.mark.parametrize("watched", [True, False])
def test_an_older_frame_that_is_told_again_is_not_the_last(*, watched: bool) -> None:
    codec, ticks = AvroCodec.in_memory(), Ticks()
    state = LiveState(ticks, partial(codec.decode, "sightline.results"))
    first, second = a_seen(0, 1), a_seen(0, 2)
    corrected = replace(second, revision=1)
    for result in (first, corrected, second, first):
        if watched:
            state.add_result(result)
        else:
            state.keep(first.frame.camera_id, codec.encode("sightline.results", result))
        ticks.now += 1.0
    found = state.result(first.frame.camera_id)
    assert found is not None
    assert found.result == corrected
    assert found.age_seconds == 3.0
    ticks.now += 0.1
    found = state.result(first.frame.camera_id)
    assert found is not None
    assert found.result == second


def test_a_result_that_cannot_be_read_is_as_good_as_none() -> None:
    state = LiveState(decode=partial(AvroCodec.in_memory().decode, "sightline.results"))
    state.keep(CAMERA_ID, b"no avro, but det_x")
    assert state.result(CAMERA_ID) is None
    assert state.detection("det_x") is None


def test_only_results_that_somebody_watches_are_decoded_at_once(world: World) -> None:
    def decodes(topic: str, key: str | None = CAMERA_ID) -> bool:
        return world.feed.decodes(replace(a_record(b""), topic=f"sightline.{topic}", key=key))

    hub, state = world.deps.hub, world.deps.state
    assert decodes("results"), "a camera that the registry does not have"
    state.set_camera(CAMERA_ID, a_camera())
    assert not decodes("results")
    assert decodes("results", None)
    assert decodes("sightings")
    client = Client("c")
    hub.join(client)
    client.subscriptions["*"] = Filters(events=frozenset({"sighting_event"}))
    assert not decodes("results")
    client.subscriptions[CAMERA_ID] = Filters()
    assert decodes("results")


@pytest.mark.parametrize(
    ("cameras", "results", "kept"),
    [pytest.param(1, 70, 64, id="one camera"), pytest.param(512, 10, 8, id="many cameras")],
)
def test_many_cameras_share_the_room_for_recent_results(
    cameras: int, results: int, kept: int
) -> None:
    state = LiveState()
    for number in range(results):
        for camera in range(cameras):
            state.add_result(a_seen(camera, number))
    last = [a_seen(cameras - 1, number).detections[0] for number in range(results)]
    found = [state.detection(each.detection_id) is not None for each in last]
    assert found == [False] * (results - kept) + [True] * kept


def a_seen(camera: int, number: int) -> FrameResult:
    """A result of one of many cameras with a detection of its own."""
    camera_id = f"cam_00000000-0000-4000-8000-{camera:012d}"
    result = a_frame_result(frame=a_frame_header(camera_id=camera_id, sequence_number=number))
    (detection,) = result.detections
    key = result.frame.frame_key
    return replace(result, detections=(replace(detection, detection_id=f"det_{key}"),))


def a_status(state: StreamState, seconds: int = 0) -> CameraStatus:
    return CameraStatus(
        camera_id=CAMERA_ID, camera_name="c", instance_id="i", state=state,
        updated_at=NOON.replace(second=seconds),
    )  # fmt: skip


def test_an_older_status_never_replaces_a_newer_one() -> None:
    ticks = Ticks()
    state = LiveState(ticks)
    ticks.now = 5.0
    assert state.heard(CAMERA_ID) == Heard(None, timedelta(seconds=5))
    assert state.set_status(CAMERA_ID, a_status(StreamState.LIVE, 2))
    ticks.now = 7.0
    assert not state.set_status(CAMERA_ID, a_status(StreamState.ERROR, 1))
    ticks.now = 8.0
    still = Heard(a_status(StreamState.LIVE, 2), timedelta(seconds=1))
    assert state.heard(CAMERA_ID) == still, "a clock that is behind has not fallen silent"
    assert not state.set_status(CAMERA_ID, a_status(StreamState.LIVE, 3))
    assert state.set_status(CAMERA_ID, a_status(StreamState.ERROR, 4))
    assert state.set_status(CAMERA_ID, None)
    assert state.status(CAMERA_ID) is None


def test_a_model_is_forgotten_by_its_tombstone() -> None:
    state = LiveState()
    model = a_model()
    state.set_model(model.model_id, model)
    state.set_model("other", None)
    assert state.models() == [model]
    state.set_model(model.model_id, None)
    assert state.models() == []


def test_names_are_asked_for_once_and_the_topic_overrides_them() -> None:
    directory = InMemoryPersons([a_person()])
    names = NameCache(directory)
    assert names.named([PERSON_ID, "per_x"]) == {PERSON_ID: a_person()}
    directory.known.clear()
    assert names.person(PERSON_ID) == a_person()
    names.put(PERSON_ID, None)
    directory.known[PERSON_ID] = a_person()
    assert names.person(PERSON_ID) is None


@given(sequence=with_stale_copies(PERSON_ID))
def test_no_stale_record_changes_what_is_known_of_a_person(
    sequence: Sequence[Person | None],
) -> None:
    names = NameCache(InMemoryPersons([a_person()]))
    for record in sequence:
        names.put(PERSON_ID, record)
    person = names.person(PERSON_ID)
    if None in sequence:
        assert person is None
    else:
        assert person is not None
        assert (person.revision, person.name) == newest_of(sequence)


def an_answer(request_id: str = "req_1", kind: str = "enrollment", **changes: Any) -> Answer:
    values: dict[str, Any] = {"status": "success", "message": "m", "answered_at": NOON}
    return Answer(request_id=request_id, kind=kind, **values | changes)


async def test_whoever_waits_gets_the_first_answer() -> None:
    answers = Answers()
    with answers.expect("req_1") as future:
        await asyncio.to_thread(answers.deliver, an_answer(message="first"))
        await asyncio.to_thread(answers.deliver, an_answer(message="second"))
        assert (await future).message == "first"


async def test_the_last_answers_to_frames_are_kept_for_who_repeats_them() -> None:
    ticks = Ticks()
    answers = Answers(ticks)
    answers.deliver(an_answer())
    answers.deliver(an_answer("req_2", kind="frame"))
    answers.deliver(an_answer("req_2", kind="frame", message="second"))
    assert answers.recent("req_1") is None
    assert answers.recent("req_2") == an_answer("req_2", kind="frame")
    ticks.now = KEEP_SECONDS + 1
    assert answers.recent("req_2") is None


async def test_a_slow_client_loses_the_oldest_and_is_told() -> None:
    hub, slow, other = Hub(), Client("slow"), Client("other")
    slow.subscriptions["*"] = Filters()
    for client in (slow, other):
        hub.join(client)
    for number in range(QUEUE + 3):
        hub.camera(CAMERA_ID, {"n": number})
    assert json.loads(await slow.next()) == {"type": "dropped", "count": 3}
    assert json.loads(await slow.next()) == {"n": 3}
    assert hub.wants(CAMERA_ID, "camera_event")
    hub.leave(slow)
    assert not hub.wants(CAMERA_ID, "camera_event")
    waiting = asyncio.create_task(other.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    other.offer("hello")
    assert await waiting == "hello"


async def test_a_camera_of_its_own_goes_before_all_cameras() -> None:
    client = Client("c")
    client.subscriptions = {"*": Filters(), CAMERA_ID: Filters(min_confidence=0.9)}
    assert client.filters(CAMERA_ID) == Filters(min_confidence=0.9)
    assert client.filters("cam_other") == Filters()


async def test_a_client_may_want_only_events_of_some_types() -> None:
    hub, client = Hub(), Client("c")
    client.subscriptions["*"] = Filters(events=frozenset({"sighting_event"}))
    hub.join(client)
    assert not hub.wants(CAMERA_ID, "detection_event")
    hub.detections(a_frame_result(), {"type": "detection_event", "data": {"detections": []}})
    hub.camera(CAMERA_ID, {"type": "camera_event"})
    hub.sighting(a_sighting(), {"type": "sighting_event"})
    assert json.loads(await client.next()) == {"type": "sighting_event"}

    client.subscriptions[CAMERA_ID] = Filters(events=frozenset({"detection_event"}))
    assert hub.wants(CAMERA_ID, "detection_event")
    assert not hub.wants("cam_other", "detection_event")
    hub.detections(a_frame_result(), {"type": "detection_event", "data": {"detections": []}})
    hub.sighting(a_sighting(), {"type": "sighting_event"})
    assert json.loads(await client.next())["type"] == "detection_event", "none of it is sifted out"


async def test_names_that_cannot_be_looked_up_do_not_stop_the_feed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Any) -> Any:
        raise TransientError("no database")

    monkeypatch.setattr(world.persons, "named", away)
    client = Client("c")
    client.subscriptions["*"] = Filters()
    world.deps.hub.join(client)
    world.feed.attach(asyncio.get_running_loop())
    world.feed.handle(a_record(a_sighting(), topic="sightline.sightings"))
    assert json.loads(await client.next())["data"]["person_name"] is None


async def test_records_that_mean_nothing_here_are_passed_over(world: World) -> None:
    world.feed.handle(a_record(None, topic="sightline.camera-status", key=CAMERA_ID))
    world.feed.handle(a_record(None, topic="sightline.model-status", key="yunet-2023mar"))
    world.feed.handle(a_record(None, topic="sightline.results", key="x"))
    world.feed.handle(a_record(None, topic="sightline.results"))
    world.feed.handle(a_record(a_model(), topic="sightline.model-status"))
    assert [model.service for model in world.deps.state.models()] == ["recognition", "detection"]


def a_frame(number: int) -> Any:
    return a_frame_captured(frame=a_frame_header(sequence_number=number), image=a_picture())


async def test_only_watched_cameras_have_pictures() -> None:
    ticks = Ticks()
    pictures = LivePictures(ticks)
    pictures.add(a_frame(1))
    assert pictures.picture(CAMERA_ID) is None
    assert await pictures.wait(CAMERA_ID, None, 0) is None
    for number in range(70):
        pictures.add(a_frame(number))
    newest = await pictures.wait(CAMERA_ID, None, 0)
    assert newest is not None
    assert newest.frame_key == a_frame(69).frame.frame_key
    assert pictures.picture(CAMERA_ID, a_frame(0).frame.frame_key) is None
    assert pictures.picture(CAMERA_ID, a_frame(6).frame.frame_key) is not None
    ticks.now = UNWATCHED_SECONDS + 1
    assert pictures.watched() == set()
    assert pictures.picture(CAMERA_ID) is None
    pictures.watch([CAMERA_ID])
    pictures.add(a_frame_captured(frame=a_frame_header(), image=None))
    assert pictures.picture(CAMERA_ID) is None


def test_a_picture_that_cannot_shrink_or_be_read_says_so() -> None:
    editor = PillowPictures()
    assert editor.shrink(a_picture(640, 480), 100) is None
    with pytest.raises(ValueError, match=r".+"):
        editor.shrink(b"x", 10)
    with pytest.raises(ValueError, match=r".+"):
        editor.scale(b"x", 10)
    with pytest.raises(ValueError, match=r".+"):
        editor.crop(b"x", (0, 0, 1, 1))


class Broker:
    """Acknowledges at the next poll; `refuse` fails what is sent."""

    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.waiting: list[Delivered] = []
        self.refuse: MeshError | None = None
        self.outcome: MeshError | None = None

    def send(self, output: Output, on_delivery: Delivered | None = None) -> None:
        if self.refuse is not None:
            raise self.refuse
        assert on_delivery is not None
        self.sent.append(output)
        self.waiting.append(on_delivery)

    def poll(self, timeout: Any = None) -> None:
        waiting, self.waiting = self.waiting, []
        for on_delivery in waiting:
            on_delivery(self.outcome)

    flush = poll


def test_a_publisher_waits_for_every_acknowledgement_and_tells_failures() -> None:
    broker = Broker()
    publisher = ThreadPublisher(broker)
    publisher.start()
    outputs = [Output("t", "k", n) for n in range(3)]
    publisher.publish([])
    publisher.publish(outputs)
    assert broker.sent == outputs
    broker.outcome = TransientError("not written")
    with pytest.raises(TransientError, match="not written"):
        publisher.publish(outputs[:1])
    broker.refuse = TransientError("queue full")
    with pytest.raises(TransientError, match="queue full"):
        publisher.publish(outputs[:2])
    publisher.close()
