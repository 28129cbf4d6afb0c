import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from services.camera.tests.doubles import until
from services.camera.tests.patience import PATIENT

from camera.adapters.kafka_cameras import POLL, CameraGroup, CameraRegistry, GroupListener
from camera.adapters.running import OnLoop, Service
from camera.settings import CameraSettings
from mesh.clock import ManualClock, SystemClock
from mesh.errors import ConfigurationError
from mesh.events import Camera
from mesh.health import Heartbeat
from mesh.kafka.consumer import HEARTBEATS
from mesh.memory import InMemoryBroker
from mesh.ports import Consumer, PartitionsChanged
from mesh.record import RawRecord, Record, TopicPartition
from mesh.testing import CAMERA_ID, a_camera, a_record

TOPIC = "sightline.cameras"
SESSION = timedelta(seconds=6)


@dataclass
class FakeTail:
    """Hands over prepared records, then says that it has caught up and waits."""

    records: list[Record[Any]] = field(default_factory=list)
    caught_up: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event | None = None

    def run(self, handle: Callable[[Record[Any]], None], stop: threading.Event) -> None:
        for record in self.records:
            handle(record)
        if self.hold is None:
            self.caught_up.set()
        stop.wait(PATIENT)


@dataclass
class FakeKeeper:
    """A stage that writes down what it is told."""

    told: list[tuple[object, ...]] = field(default_factory=list)
    broken: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def changed(self, camera_id: str, camera: Camera | None) -> None:
        self.told.append(("changed", camera_id, camera))

    def registry_known(self) -> None:
        self.told.append(("known",))

    def assigned(self, partitions: Collection[int]) -> None:
        self.told.append(("assigned", *sorted(partitions)))

    def revoked(self, partitions: Collection[int]) -> None:
        self.told.append(("revoked", *sorted(partitions)))

    def lost(self, partitions: Collection[int]) -> None:
        self.told.append(("lost", *sorted(partitions)))

    def publishing(self, problem: str | None) -> None:
        if ("publishing", problem) not in self.told:
            self.told.append(("publishing", problem))

    def report(self) -> None:
        self.told.append(("report",))

    def stop(self) -> None:
        self.told.append(("stop",))


@dataclass
class FakePublisher:
    told: list[tuple[object, ...]]
    error: Exception | None = None

    def run(self, stop: threading.Event, patience: timedelta) -> None:
        if self.error is not None:
            raise self.error
        stop.wait(PATIENT)
        self.told.append(("flushed", patience.total_seconds()))

    def check(self) -> str | None:
        return "kafka is away"


class FakeProbe:
    def run(self, stop: threading.Event) -> None:
        stop.wait(PATIENT)


def a_group(broker: InMemoryBroker, owned: set[int]) -> CameraGroup:
    return CameraGroup(
        broker.consumer("sightline.camera"),
        TOPIC,
        GroupListener(
            assigned=owned.update,
            revoked=owned.difference_update,
            lost=owned.difference_update,
        ),
        heartbeat=Heartbeat(SystemClock()),
        clock=SystemClock(),
        session_timeout=SESSION,
    )


def a_tombstone(key: str) -> Record[Any]:
    return Record(topic=TOPIC, partition=0, offset=1, key=key, event=None)


def start(run: Callable[[threading.Event], None]) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), daemon=True)
    thread.start()
    return thread, stop


async def test_every_change_is_handed_on_before_the_registry_is_called_known() -> None:
    camera, told = a_camera(), list[tuple[object, ...]]()
    tail = FakeTail([a_record(camera), a_tombstone("cam_gone")])
    registry = CameraRegistry(
        tail,
        changed=lambda key, event: told.append((key, event)),
        known=lambda: told.append(("known",)),
    )
    assert registry.check() is not None
    thread, stop = start(registry.run)
    await until(lambda: ("known",) in told)
    assert registry.check() is None
    stop.set()
    thread.join(PATIENT)
    assert told == [(CAMERA_ID, camera), ("cam_gone", None), ("known",)]


async def test_a_registry_that_was_never_read_to_its_end_is_never_called_known() -> None:
    told: list[tuple[object, ...]] = []
    registry = CameraRegistry(
        FakeTail(hold=threading.Event()),
        changed=lambda key, event: told.append((key, event)),
        known=lambda: told.append(("known",)),
    )
    thread, stop = start(registry.run)
    stop.set()
    thread.join(PATIENT)
    assert not thread.is_alive()
    assert told == []


async def test_the_group_shares_the_partitions_out_and_gives_them_back() -> None:
    broker = InMemoryBroker()
    broker.create_topic(TOPIC, 4)
    first, second = set[int](), set[int]()
    one, two = a_group(broker, first), a_group(broker, second)
    assert one.check() is not None
    thread, stop = start(one.run)
    await until(lambda: first == {0, 1, 2, 3})
    assert one.check() is None
    other_thread, other_stop = start(two.run)
    await until(lambda: len(first) == len(second) == 2)
    assert not first & second
    other_stop.set()
    await until(lambda: first == {0, 1, 2, 3})
    assert not second
    stop.set()
    for each in (thread, other_thread):
        each.join(PATIENT)


@dataclass
class ScriptedConsumer:
    """A member whose polls do what they are told."""

    polls: list[Callable[[], None]] = field(default_factory=list)
    """What happens in the next poll."""
    owned: set[TopicPartition] = field(default_factory=set)
    callbacks: dict[str, PartitionsChanged] = field(default_factory=dict)

    def subscribe(self, topics: Sequence[str], **callbacks: PartitionsChanged) -> None:
        self.callbacks = callbacks

    def poll_batch(self, max_records: int, max_wait: timedelta) -> list[RawRecord]:
        del max_records, max_wait
        for each in self.polls:
            each()
        return []

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        pass

    def assignment(self) -> Collection[TopicPartition]:
        return self.owned

    def close(self) -> None:
        pass

    def assign(self, numbers: Collection[int]) -> None:
        came = {TopicPartition(TOPIC, number) for number in numbers}
        self.callbacks["on_assign"](came)
        self.owned |= came

    def lose(self) -> None:
        self.callbacks["on_lost"](self.owned)
        self.owned = set()


@dataclass
class Membership:
    """A group with a scripted member, and what the stage was told."""

    clock: ManualClock = field(default_factory=ManualClock)
    consumer: ScriptedConsumer = field(default_factory=ScriptedConsumer)
    told: list[tuple[str, set[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        def tell(what: str) -> Callable[[Collection[int]], None]:
            return lambda numbers: self.told.append((what, set(numbers)))

        self.group = CameraGroup(
            cast("Consumer", self.consumer),
            TOPIC,
            GroupListener(assigned=tell("assigned"), revoked=tell("revoked"), lost=tell("lost")),
            heartbeat=Heartbeat(self.clock),
            clock=self.clock,
            session_timeout=SESSION,
        )
        stop = threading.Event()
        stop.set()
        self.group.run(stop)
        self.poll(lambda: self.consumer.assign([0, 1]))
        assert self.told.pop() == ("assigned", {0, 1})

    def poll(self, *during: Callable[[], None]) -> None:
        """One poll, in which these things happen one after another."""
        self.consumer.polls = list(during)
        self.group.turn()


def test_a_silent_group_leaves_the_owner_in_doubt() -> None:
    membership = Membership()
    membership.poll(membership.consumer.lose)
    assert membership.told == [("lost", {0, 1})]


def test_a_member_that_was_suspended_has_lost_what_it_had() -> None:
    membership = Membership()
    membership.poll(lambda: membership.clock.advance(7), membership.consumer.lose)
    assert membership.told[0] == ("revoked", {0, 1})
    assert all(what == "revoked" for what, _ in membership.told)


def test_a_suspended_member_lets_go_before_its_client_notices() -> None:
    membership = Membership()
    membership.poll(lambda: membership.clock.advance(7))
    assert membership.told == [("revoked", {0, 1})]
    membership.poll(membership.consumer.lose)
    membership.poll(lambda: membership.consumer.assign([1]))
    assert membership.told[-1] == ("assigned", {1})
    membership.poll(lambda: membership.clock.advance(5))
    membership.poll(lambda: membership.clock.advance(5))
    assert membership.told[-1] == ("assigned", {1})


def test_a_member_whose_broker_was_suspended_too_takes_up_what_it_still_has() -> None:
    membership = Membership()
    membership.poll(lambda: membership.clock.advance(7))
    membership.poll(lambda: membership.clock.advance(5))
    assert membership.told == [("revoked", {0, 1})]
    membership.poll(lambda: membership.clock.advance(5))
    assert membership.told == [("revoked", {0, 1}), ("assigned", {0, 1})]


def a_service(
    keeper: FakeKeeper, broker: InMemoryBroker, error: Exception | None = None
) -> Service:
    on_loop = OnLoop(keeper)
    return Service(
        keeper=keeper,
        registry=CameraRegistry(
            FakeTail([a_record(a_camera())]),
            changed=on_loop.changed,
            known=on_loop.registry_known,
        ),
        group=CameraGroup(
            broker.consumer("sightline.camera"),
            TOPIC,
            GroupListener(assigned=on_loop.assigned, revoked=on_loop.revoked, lost=on_loop.lost),
            heartbeat=Heartbeat(SystemClock()),
            clock=SystemClock(),
            session_timeout=SESSION,
        ),
        publisher=FakePublisher(keeper.told, error),
        probe=FakeProbe(),
        status_seconds=0.01,
        patience=timedelta(seconds=3),
    )


@pytest.fixture
def broker() -> InMemoryBroker:
    made = InMemoryBroker()
    made.create_topic(TOPIC, 2)
    return made


async def test_the_parts_run_until_they_are_asked_and_end_in_order(broker: InMemoryBroker) -> None:
    keeper, stop = FakeKeeper(), threading.Event()
    running = asyncio.ensure_future(a_service(keeper, broker).run(stop))
    try:
        await until(lambda: ("known",) in keeper.told and ("report",) in keeper.told)
        await until(lambda: ("assigned", 0, 1) in keeper.told)
        await until(lambda: ("publishing", "kafka is away") in keeper.told)
    finally:
        stop.set()
        await asyncio.wait_for(running, PATIENT)
    assert ("changed", CAMERA_ID, a_camera()) in keeper.told
    assert keeper.told[-3:] == [("stop",), ("flushed", 3.0), ("revoked", 0, 1)]
    assert ("publishing", "kafka is away") in keeper.told


class Aside:
    """Something that runs as long as the service."""

    def __init__(self) -> None:
        self.runs = False

    def run(self, stop: threading.Event) -> None:
        self.runs = True
        stop.wait(PATIENT)


async def test_every_part_runs_however_many_there_are(broker: InMemoryBroker) -> None:
    keeper, stop, asides = FakeKeeper(), threading.Event(), [Aside() for _ in range(40)]
    service = replace(a_service(keeper, broker), asides=asides)
    running = asyncio.ensure_future(service.run(stop))
    try:
        await until(lambda: all(aside.runs for aside in asides))
        await until(lambda: ("assigned", 0, 1) in keeper.told)
    finally:
        stop.set()
        await asyncio.wait_for(running, PATIENT)
    assert ("flushed", 3.0) in keeper.told


async def test_a_part_that_fails_ends_the_service_and_is_raised(broker: InMemoryBroker) -> None:
    keeper, stop = FakeKeeper(), threading.Event()
    service = a_service(keeper, broker, ConfigurationError("no such topic"))
    with pytest.raises(ConfigurationError):
        await asyncio.wait_for(service.run(stop), PATIENT)
    assert ("stop",) in keeper.told
    assert stop.is_set()


async def test_a_bug_in_the_stage_ends_the_service(broker: InMemoryBroker) -> None:
    keeper = FakeKeeper()
    service = a_service(keeper, broker)
    keeper.broken.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(service.run(threading.Event()), PATIENT)


async def test_a_stage_that_is_told_of_lost_partitions_has_heard_before_it_goes_on() -> None:
    keeper = FakeKeeper()
    on_loop = OnLoop(keeper)
    await asyncio.to_thread(on_loop.lost, [1])
    assert keeper.told == [("lost", 1)]


def test_of_fifteen_seconds_two_are_left_to_connect_to_the_cameras_of_a_dead_replica() -> None:
    session = timedelta(milliseconds=CameraSettings.model_fields["session_timeout_ms"].default)
    noticed, told = session, session / HEARTBEATS
    assert noticed + told + POLL <= timedelta(seconds=13)
