"""Commands to look for cameras, and the answers to them."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import SecretStr
from services.camera.tests.onvif_peer import Peer, serving
from services.camera.tests.patience import PATIENT, comes_true
from services.camera.tests.sites import Site, a_site

from camera.adapters.kafka_discovery import DiscoveryDesk
from camera.adapters.usb_devices import UsbDevice
from camera.adapters.usb_finder import UsbFinder
from camera.domain.found import Findings, Search, SearchError
from camera.settings import CameraSettings
from camera.stage import CameraSearch
from mesh.clock import ManualClock
from mesh.crypto import Cipher
from mesh.errors import ConfigurationError, TransientError
from mesh.events import Answer, DiscoverCameras, FoundDevice
from mesh.kafka import EventProducer, KafkaTail
from mesh.record import Record
from mesh.stage import Output
from mesh.testing import NOON, a_record

GATE = FoundDevice(kind="onvif", identity="urn:uuid:1", name="Gate")
DESK = FoundDevice(kind="usb", identity="edge-1/usb1", name="Desk", node="edge-1", device_id=0)


def a_command(request_id: str = "req_1", **changes: Any) -> DiscoverCameras:
    values: dict[str, Any] = {"kinds": ("onvif", "usb"), "timeout_ms": 2000}
    told = values | {"requested_by": "ada", "requested_at": NOON} | changes
    return DiscoverCameras(request_id=request_id, **told)


class FakeFinder:
    """Finds these devices, or fails, once it is let go; says what it was asked."""

    def __init__(self, *devices: FoundDevice, failure: Exception | None = None) -> None:
        self.devices = devices
        self.failure = failure
        self.asked: list[Search] = []
        self.started, self.go = threading.Event(), threading.Event()
        self.go.set()

    async def find(self, search: Search) -> Sequence[FoundDevice]:
        self.asked.append(search)
        self.started.set()
        await asyncio.to_thread(self.go.wait, PATIENT)
        if self.failure is not None:
            raise self.failure
        return self.devices


def no_key(token: bytes) -> bytes:
    raise ConfigurationError("SIGHTLINE_SECRET_KEY: none of the keys opens what is stored")


def a_search(
    onvif: FakeFinder | None = None,
    usb: FakeFinder | None = None,
    decrypt: Callable[[bytes], bytes] = lambda token: token[::-1],
    **changes: Any,
) -> CameraSearch:
    finders = {"onvif": onvif or FakeFinder(GATE), "usb": usb or FakeFinder(DESK)}
    return CameraSearch(finders, decrypt=decrypt, clock=ManualClock(), **changes)


def test_a_command_is_understood_with_its_password_in_clear_text() -> None:
    command = a_command(hosts=("10.0.0.4",), username="u", password_encrypted=b"terces")
    search = a_search().understand(command)
    assert (search.kinds, search.hosts, search.password) == (
        ("onvif", "usb"),
        ("10.0.0.4",),
        "secret",
    )
    assert search.seconds == pytest.approx(1.7)
    assert a_search().understand(replace(command, timeout_ms=1)).seconds == pytest.approx(0.2)
    assert a_search().understand(replace(command, timeout_ms=10**6)).seconds == pytest.approx(30)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kinds": ("sonar",)}, "INVALID_REQUEST"),
        ({"kinds": ()}, "INVALID_REQUEST"),
        ({"hosts": ("10.0.0.1",) * 65}, "INVALID_REQUEST"),
        ({"password_encrypted": b"\xff"}, "PASSWORD_UNREADABLE"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(SearchError) as refused:
        a_search().understand(a_command(**changes))
    assert refused.value.code == code


def test_without_the_key_or_when_switched_off_nothing_is_looked_for() -> None:
    with pytest.raises(SearchError, match="cannot be opened here"):
        a_search(decrypt=no_key).understand(a_command(password_encrypted=b"x"))
    with pytest.raises(SearchError, match="SIGHTLINE_DISCOVERY"):
        a_search(enabled=False).understand(a_command())


async def test_only_what_was_asked_for_is_looked_for() -> None:
    onvif, usb = FakeFinder(GATE), FakeFinder(DESK)
    found = await a_search(onvif, usb).look(Search(kinds=("usb",), seconds=1.0))
    assert found.devices == (DESK,)
    assert onvif.asked == []


@pytest.mark.parametrize("failure", [SearchError("PROBE_FAILED", "no network"), TimeoutError()])
async def test_a_kind_that_fails_does_not_stop_the_others(failure: Exception) -> None:
    search = a_search(FakeFinder(failure=failure))
    found = await search.look(Search(seconds=1.0))
    assert found.devices == (DESK,)
    answer = search.answer(a_command(), found)
    assert (answer.status, answer.devices) == ("success", (DESK,))
    assert answer.code in {"PROBE_FAILED", "TIMEOUT"}
    assert answer.message.startswith("1 camera was found; ")


def test_an_answer_says_how_many_were_found_or_why_none() -> None:
    search = a_search()
    found = search.answer(a_command(), Findings((GATE, DESK)))
    assert (found.kind, found.status, found.code) == ("discovery", "success", None)
    assert (found.message, found.request_id) == ("2 cameras were found", "req_1")
    refused = search.answer(a_command(), SearchError("DISCOVERY_OFF", "it is off"))
    assert (refused.status, refused.code) == ("error", "DISCOVERY_OFF")


async def test_a_device_of_this_machine_is_told_with_its_node() -> None:
    present = UsbDevice(2, "HD Webcam\n", 0, "usb1/1-2")
    named, nameless = (UsbFinder(node, "camera-a", lambda: [present]) for node in ("edge-1", None))
    (device,) = await named.find(Search(seconds=1.0))
    assert device == FoundDevice(
        kind="usb", identity="edge-1/usb1/1-2", name="HD Webcam", node="edge-1", device_id=2
    )
    (other,) = await nameless.find(Search(seconds=1.0))
    assert (other.identity, other.node) == ("camera-a/usb1/1-2", None)


class FakeTail:
    """Hands over the commands that are put."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.put: Callable[[DiscoverCameras | None], None] = lambda command: None

    def run(self, handle: Callable[[Record[Any]], None], stop: threading.Event) -> None:
        self.put = lambda command: handle(a_record(command, topic="sightline.camera.commands"))
        self.ready.set()
        stop.wait()


class FakeAnswers:
    """Keeps what is answered."""

    def __init__(self) -> None:
        self.sent: list[Answer] = []
        self.more = threading.Condition()
        self.failure: TransientError | None = None

    def send(self, output: Output) -> None:
        assert output.key == output.event.request_id
        with self.more:
            self.sent.append(output.event)
            self.more.notify_all()

    def flush(self, timeout: timedelta = timedelta(0)) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def until(self, count: int) -> list[Answer]:
        with self.more:
            assert self.more.wait_for(lambda: len(self.sent) >= count, PATIENT)
        return self.sent


class Office:
    """A desk at work."""

    def __init__(self, search: CameraSearch) -> None:
        self.tail, self.answers, self.clock = FakeTail(), FakeAnswers(), ManualClock()
        self.desk = DiscoveryDesk(
            self.tail, search, self.answers, topic="sightline.answers", clock=self.clock
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.desk.run, args=[self.stop])

    def __enter__(self) -> Self:
        self.thread.start()
        assert self.tail.ready.wait(PATIENT)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(PATIENT)
        assert not self.thread.is_alive()


def test_a_command_is_carried_out_and_answered() -> None:
    with Office(a_search()) as office:
        office.tail.put(None)
        office.tail.put(a_command())
        (answer,) = office.answers.until(1)
    assert answer.devices == (GATE, DESK)


def test_commands_that_ask_the_same_share_what_is_found_and_others_wait() -> None:
    finder = FakeFinder(GATE)
    finder.go.clear()
    with Office(a_search(finder)) as office:
        for name, hosts in (("req_1", ()), ("req_2", ("10.0.0.4",)), ("req_3", ())):
            office.tail.put(a_command(name, hosts=hosts))
        office.tail.put(a_command("req_4", kinds=("sonar",)))
        finder.go.set()
        answers = office.answers.until(4)
    assert [answer.request_id for answer in answers] == ["req_1", "req_3", "req_2", "req_4"]
    assert [one.hosts for one in finder.asked] == [(), ("10.0.0.4",)]
    assert answers[3].code == "INVALID_REQUEST"


def test_a_crash_is_an_answer_and_the_next_command_is_carried_out() -> None:
    finder = FakeFinder(GATE, failure=RuntimeError("a bug"))
    with Office(a_search(finder)) as office:
        office.tail.put(a_command())
        office.answers.until(1)
        finder.failure = None
        office.tail.put(a_command("req_2"))
        crashed, second = office.answers.until(2)
    assert (crashed.status, crashed.code) == ("error", "CRASHED")
    assert "bug" in crashed.message
    assert second.devices == (GATE, DESK)


def test_a_command_that_waited_too_long_is_left_and_too_many_are_passed_over() -> None:
    finder = FakeFinder(GATE)
    finder.go.clear()
    with Office(a_search(finder)) as office:
        office.tail.put(a_command("req_first"))
        assert finder.started.wait(PATIENT)
        for number in range(20):
            office.tail.put(a_command(f"req_{number}", hosts=(f"10.0.0.{number}",)))
        office.clock.advance(3)
        finder.go.set()
        office.answers.until(1)
        office.tail.put(a_command("req_last", hosts=("last",)))
        answers = office.answers.until(2)
    assert [answer.request_id for answer in answers] == ["req_first", "req_last"]


def test_a_broker_that_is_away_costs_the_answer_and_nothing_else() -> None:
    with Office(a_search()) as office:
        office.answers.failure = TransientError("the broker is away")
        office.tail.put(a_command())
        office.answers.until(1)
        office.tail.put(a_command("req_2"))
        assert office.answers.until(2)[1].request_id == "req_2"


def test_the_desk_closes_while_it_looks() -> None:
    finder = FakeFinder(GATE)
    finder.go.clear()
    office = Office(a_search(finder))
    with office:
        office.tail.put(a_command())
        assert finder.started.wait(PATIENT)
        office.stop.set()
        finder.go.set()


@pytest.mark.parametrize(
    ("text", "names"), [("", None), (" , ", None), ("eth0, eth1", ["eth0", "eth1"])]
)
def test_interfaces_are_named_by_commas(text: str, names: list[str] | None) -> None:
    assert CameraSettings(discovery_interfaces=text).probe_interfaces == names


@pytest.mark.integration
@pytest.mark.slow
async def test_the_service_answers_what_the_gateway_asks(
    kafka: str, registry: str, tmp_path: Path
) -> None:
    key = Cipher.new_key()
    async with serving(Peer(username="viewer", password="p")) as peer:
        await asyncio.to_thread(_ask, kafka, registry, tmp_path, key, peer)
    assert "GetStreamUri" in peer.asked


def _ask(kafka: str, registry: str, folder: Path, key: str, peer: Peer) -> None:
    with a_site(kafka, registry, folder) as site:
        answers: list[Answer] = []
        topics, stop = site.settings.topics, threading.Event()
        tail = KafkaTail(site.settings, site.codec, topics=[topics("answers")])
        listening = threading.Thread(
            target=tail.run,
            args=[lambda record: answers.append(record.event), stop],
            daemon=True,
        )
        listening.start()
        site.start("camera-a", node="edge-1", secret_key=key)
        site.until(lambda: site.problems("camera-a") == {})
        sealed = Cipher(SecretStr(key)).encrypt(b"p")
        for timeout_ms in (2000, 8000, 30_000):
            command = a_command(
                f"req_{timeout_ms}",
                timeout_ms=timeout_ms,
                hosts=(peer.place,),
                username="viewer",
                password_encrypted=sealed,
                kinds=("onvif",),
            )
            device = answered(site, command, answers)
            if device is not None and device.error_code != "timeout":
                break
        stop.set()
        listening.join()
        assert "viewer" not in site.log("camera-a")
    assert device is not None
    assert (device.error_code, device.node, len(device.streams)) == (None, "edge-1", 2)


def answered(site: Site, command: DiscoverCameras, answers: list[Answer]) -> FoundDevice | None:
    """The device at the first of the hosts, as the answer to the command tells it."""
    producer = EventProducer(site.settings, site.codec)
    producer.send(Output(site.settings.topics("camera.commands"), command.request_id, command))
    producer.flush()
    found: list[Answer] = []

    def is_answered() -> bool:
        found.extend(one for one in list(answers) if one.request_id == command.request_id)
        return bool(found)

    if not comes_true(is_answered):
        return None
    return next((one for one in found[0].devices if one.address == command.hosts[0]), None)
