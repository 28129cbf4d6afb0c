"""The whole service as a process, on a real broker and registry."""

import logging
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from services.camera.tests.patience import PATIENT, comes_true
from services.camera.tests.sites import Site, a_looped, a_site, captured, closed, published

from mesh.events import (
    Camera,
    CameraStatus,
    FrameCaptured,
    Lane,
    LedgerEntry,
    LogEvent,
    StreamState,
)
from mesh.testing import a_detection_config

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def site(kafka: str, registry: str, tmp_path: Path) -> Iterator[Site]:
    with a_site(kafka, registry, tmp_path) as made:
        yield made


def test_a_camera_is_read_published_accounted_for_and_closed(site: Site, clip: Path) -> None:
    camera = a_looped(clip)
    site.register(camera)
    process = site.start("camera-a")
    site.until(lambda: len(site.of(FrameCaptured, camera.camera_id)) >= 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENT) == 0
    site.until(lambda: any(each.closes_epoch for each in site.of(LedgerEntry, camera.camera_id)))
    site.until(lambda: accounted_for(site, camera))
    site.until(
        lambda: any(
            last.state is StreamState.STOPPED
            for last in site.of(CameraStatus, camera.camera_id)[-1:]
        )
    )
    site.until(lambda: len(site.of(LogEvent, camera.camera_id)) >= 3)
    frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
    numbers = [each.frame.sequence_number for each in frames]
    assert numbers == list(range(len(frames)))
    assert (frames[0].image or b"").startswith(b"\xff\xd8")
    entries: list[LedgerEntry] = site.of(LedgerEntry, camera.camera_id)
    assert captured(entries) == published(frames)
    assert closed(entries) == {frames[0].frame.epoch}
    states = [status.state for status in site.of(CameraStatus, camera.camera_id)]
    assert StreamState.LIVE in states
    assert states[-1] is StreamState.STOPPED
    words = [event.attributes["status"] for event in site.of(LogEvent, camera.camera_id)]
    assert words == ["connecting", "connected", "stopped"]


def test_changes_of_the_registry_are_followed(site: Site, clip: Path) -> None:
    camera = a_looped(clip)
    site.start("camera-a")
    site.register(camera)
    site.until(lambda: site.of(FrameCaptured, camera.camera_id))
    evidence = replace(
        camera, detection=a_detection_config(fps_limit=2.0, overload="all"), revision=1
    )
    site.register(evidence)
    site.until(
        lambda: any(
            each.frame.lane is Lane.EVIDENCE for each in site.of(FrameCaptured, camera.camera_id)
        )
    )
    assert len({each.frame.epoch for each in site.of(FrameCaptured, camera.camera_id)}) == 2
    missing = replace(evidence, stream=replace(camera.stream, url="/nowhere.mp4"), revision=2)
    site.register(missing)
    site.until(
        lambda: any(
            last.error_code == "not_found" and last.next_retry_at is not None
            for last in site.of(CameraStatus, camera.camera_id)[-1:]
        )
    )
    site.delete(camera.camera_id)
    site.until(
        lambda: any(
            record.event is None and record.key == camera.camera_id for record in site.records
        )
    )
    site.until(lambda: accounted_for(site, camera))
    frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
    assert captured(site.of(LedgerEntry, camera.camera_id)) == published(frames)


def test_when_an_owner_is_killed_another_replica_goes_on(site: Site, clip: Path) -> None:
    cameras, of_node = [a_looped(clip) for _ in range(4)], a_looped(clip, node="edge-1")
    for camera in (*cameras, of_node):
        site.register(camera)
    first = site.start("camera-a", node="edge-1")
    site.until(lambda: all(site.of(FrameCaptured, c.camera_id) for c in (*cameras, of_node)))
    site.start("camera-b")
    site.until(lambda: not site.problems("camera-b"))
    killed = datetime.now(UTC)
    first.kill()
    first.wait(PATIENT)

    def taken_over(camera: Camera) -> bool:
        statuses: list[CameraStatus] = site.of(CameraStatus, camera.camera_id)
        seen = [(status.instance_id, status.state) for status in statuses]
        return seen[-1:] == [("camera-b", StreamState.LIVE)]

    site.until(lambda: all(taken_over(camera) for camera in cameras))
    for camera in cameras:
        frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
        keys = [each.frame.frame_key for each in frames]
        assert len(keys) == len(set(keys))
        left = {each.frame.epoch for each in frames if _owner(each) == "camera-a"}
        entries: list[LedgerEntry] = site.of(LedgerEntry, camera.camera_id)
        assert not left & closed([each for each in entries if each.instance_id == "camera-b"])
    lives = [site.of(CameraStatus, camera.camera_id)[-1].established_at for camera in cameras]
    took = max((live - killed).total_seconds() for live in lives if live)
    logging.getLogger(__name__).info("taken over after %.1f s", took)
    reporters = {status.instance_id for status in site.of(CameraStatus, of_node.camera_id)}
    assert reporters == {"camera-a"}


def test_it_is_ready_once_it_knows_what_is_its_own(site: Site, clip: Path) -> None:
    camera = a_looped(clip)
    site.register(camera)
    site.start("camera-a")
    site.until(lambda: site.of(FrameCaptured, camera.camera_id))
    assert comes_true(lambda: site.problems("camera-a") == {})
    assert comes_true(lambda: site.metric("camera-a", "frames_captured_total") > 0)


def test_an_owner_that_was_suspended_lets_go_of_what_it_lost(site: Site, clip: Path) -> None:
    cameras = [a_looped(clip) for _ in range(4)]
    for camera in cameras:
        site.register(camera)
    first = site.start("camera-a")
    site.until(lambda: all(site.of(FrameCaptured, c.camera_id) for c in cameras))
    site.start("camera-b")
    first.send_signal(signal.SIGSTOP)
    suspended = {
        camera.camera_id: {
            each.frame.epoch
            for each in site.of(FrameCaptured, camera.camera_id)
            if _owner(each) == "camera-a"
        }
        for camera in cameras
    }

    def reporters(camera: Camera, since: int) -> set[str]:
        fresh = [record.event for record in list(site.records)[since:]]
        return {
            event.instance_id
            for event in fresh
            if isinstance(event, CameraStatus) and event.camera_id == camera.camera_id
        }

    site.until(lambda: all("camera-b" in reporters(camera, 0) for camera in cameras))
    site.until(
        lambda: all(
            any(_owner(each) == "camera-b" for each in site.of(FrameCaptured, camera.camera_id))
            for camera in cameras
        )
    )
    first.send_signal(signal.SIGCONT)

    def each_has_one_owner() -> bool:
        since = len(site.records)
        time.sleep(3)
        return all(len(reporters(camera, since)) == 1 for camera in cameras)

    site.until(each_has_one_owner)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENT) == 0
    for camera in cameras:
        site.until(partial(are_closed, site, camera, suspended[camera.camera_id]))
        frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
        keys = [each.frame.frame_key for each in frames]
        assert len(keys) == len(set(keys))
        taken_over = max(each.frame.epoch for each in frames if _owner(each) == "camera-b")
        assert max(suspended[camera.camera_id]) < taken_over


def are_closed(site: Site, camera: Camera, epochs: set[int]) -> bool:
    return epochs <= closed(site.of(LedgerEntry, camera.camera_id))


def accounted_for(site: Site, camera: Camera) -> bool:
    """Whether all that was captured was published, and its epochs are closed."""
    frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
    entries: list[LedgerEntry] = site.of(LedgerEntry, camera.camera_id)
    epochs = {each.frame.epoch for each in frames}
    return captured(entries) == published(frames) and closed(entries) == epochs


def _owner(frame: FrameCaptured) -> str:
    return frame.stages[0].instance_id
