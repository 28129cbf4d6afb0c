"""The service while its broker or its registry is away: a broker of its own, frozen and freed."""

import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from services.camera.tests.patience import PATIENT
from services.camera.tests.sites import Site, a_looped, a_site, captured, closed, published

from local.pytest_fixtures import SessionInfrastructure
from mesh.events import Camera, FrameCaptured, LedgerEntry, LogEvent
from mesh.testing import a_detection_config

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class FreezableBroker:
    """A broker that can be made to answer nothing for a while."""

    def __init__(self, infrastructure: SessionInfrastructure) -> None:
        self.address = infrastructure.kafka()
        self._supervisor = infrastructure.supervisor

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing answers inside of this."""
        self._supervisor.kill("kafka", signal.SIGSTOP)
        try:
            yield
        finally:
            self._supervisor.kill("kafka", signal.SIGCONT)


@pytest.fixture(scope="module")
def broker() -> Iterator[FreezableBroker]:
    folder = Path(tempfile.mkdtemp(prefix="sightline-outage-"))
    infrastructure = SessionInfrastructure(folder)
    try:
        yield FreezableBroker(infrastructure)
    finally:
        infrastructure.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def site(broker: FreezableBroker, registry: str, tmp_path: Path) -> Iterator[Site]:
    with a_site(broker.address, registry, tmp_path) as made:
        yield made


def an_unmissable(clip: Path) -> Camera:
    return a_looped(clip, detection=a_detection_config(fps_limit=5.0, overload="all"))


def frames_of(site: Site, camera: Camera) -> list[FrameCaptured]:
    found: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
    return found


def entries_of(site: Site, camera: Camera) -> list[LedgerEntry]:
    found: list[LedgerEntry] = site.of(LedgerEntry, camera.camera_id)
    return found


def assert_balanced(site: Site, camera: Camera) -> None:
    """Every number is published or shed, captured, and of an epoch that was closed."""

    def known() -> set[tuple[int, int]]:
        return published(frames_of(site, camera)) | captured(entries_of(site, camera), "shed")

    site.until(lambda: {epoch for epoch, _ in known()} <= closed(entries_of(site, camera)))
    site.until(lambda: captured(entries_of(site, camera)) == known())
    for epoch in {epoch for epoch, _ in known()}:
        numbers = {number for of, number in known() if of == epoch}
        assert numbers == set(range(len(numbers)))


def test_while_the_broker_is_away_one_camera_stops_and_the_other_goes_on(
    broker: FreezableBroker, site: Site, clip: Path
) -> None:
    latest, unmissable = a_looped(clip), an_unmissable(clip)
    site.register(latest)
    site.register(unmissable)
    with broker.away():
        process = site.start("camera-a", unreachable_seconds="2")
        site.until(lambda: "broker" in site.problems("camera-a"))
    site.until(lambda: frames_of(site, latest) and frames_of(site, unmissable))
    with broker.away():
        gone = datetime.now(UTC)
        site.until(lambda: site.metric("camera-a", "streams", state="error") == 1)
        site.until(lambda: "kafka" in site.problems("camera-a").get("broker", ""))
        session_time_out_and_more = 5 * 8
        site.until(
            lambda: (
                site.metric("camera-a", "waiting_frames", lane="evidence")
                > session_time_out_and_more
            )
        )
        back = datetime.now(UTC)
    before = published(frames_of(site, latest))
    site.until(lambda: max(published(frames_of(site, latest)))[0] > max(before)[0])
    site.until(lambda: not site.problems("camera-a"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENT) == 0
    for camera in (latest, unmissable):
        assert_balanced(site, camera)
    frames = frames_of(site, unmissable)
    assert [each.frame.sequence_number for each in frames] == list(range(len(frames)))
    assert any(gone < each.frame.received_timestamp < back for each in frames)
    problem = "kafka has not acknowledged anything for more than 2 s"
    site.until(lambda: problem in {each.message for each in site.of(LogEvent, latest.camera_id)})


def test_what_a_spool_cannot_hold_is_shed_and_what_is_left_at_the_end_is_told(
    broker: FreezableBroker, site: Site, clip: Path
) -> None:
    camera = an_unmissable(clip)
    site.register(camera)
    process = site.start("camera-a", spool_frames="5", stop_seconds="5")
    site.until(lambda: frames_of(site, camera))
    with broker.away():
        site.until(
            lambda: site.metric("camera-a", "frames_dropped_total", reason="spool_full") >= 3
        )
    site.until(lambda: captured(entries_of(site, camera), "shed"))
    site.until(lambda: site.metric("camera-a", "waiting_frames", lane="evidence") <= 2)
    with broker.away():
        site.until(lambda: site.metric("camera-a", "waiting_frames", lane="evidence") > 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENT) == 0
    assert "frames_abandoned" in site.log("camera-a")
    site.until(
        lambda: (
            captured(entries := entries_of(site, camera))
            <= published(frames_of(site, camera)) | captured(entries, "shed")
        )
    )
    entries = entries_of(site, camera)
    assert {entry.reason for entry in entries if entry.outcome == "shed"} == {"spool_full"}


class Forwarder:
    """A port that leads nowhere until it is opened."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def open(self) -> None:
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with source, sink:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return


def test_while_the_registry_is_away_it_waits_and_applies_what_changed_meanwhile(
    kafka: str, registry: str, clip: Path, tmp_path: Path
) -> None:
    parts = urlsplit(registry)
    forwarder = Forwarder((str(parts.hostname), int(parts.port or 80)))
    deleted, changed = a_looped(clip), a_looped(clip)
    with a_site(kafka, registry, tmp_path) as site:
        site.register(deleted)
        site.register(changed)
        url = parts._replace(netloc=f"127.0.0.1:{forwarder.port}").geturl()
        process = site.start("camera-a", registry_url=url)
        site.until(lambda: "registry" in site.problems("camera-a").get("registry", ""))
        site.delete(deleted.camera_id)
        renamed = a_looped(clip, camera_id=changed.camera_id, name="Back door", revision=1)
        site.register(renamed)
        forwarder.open()
        site.until(lambda: frames_of(site, changed))
        assert process.poll() is None
        assert frames_of(site, changed)[0].frame.camera_name == "Back door"
        assert not frames_of(site, deleted)
    forwarder.close()
