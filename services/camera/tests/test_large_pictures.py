"""Pictures above 1 MiB travel beside their record; without the store they are made coarser."""

from datetime import datetime
from pathlib import Path

from services.camera.tests.doubles import FakeFrame, FakeSource, Setting, a_live_camera, until

from camera.adapters.large_pictures import StoredPictures
from camera.stage import CameraStage
from mesh.claims import ClaimChecks
from mesh.clock import ManualClock
from mesh.events import INLINE_BYTES, FrameCaptured, FrameRef, Lane
from mesh.testing import CAMERA_ID, NOON

LARGE = bytes(INLINE_BYTES + 1)
SMALL = b"\xff\xd8 small \xff\xd9"


async def shown(setting: Setting, frame: FakeFrame) -> FrameCaptured:
    setting.sources.prepared[CAMERA_ID] = [FakeSource([frame])]
    stage = CameraStage(setting.parts(), partition_of=lambda _: 0, node=None)
    stage.assigned([0])
    stage.changed(CAMERA_ID, a_live_camera())
    stage.registry_known()
    found: list[FrameCaptured] = []

    def comes() -> bool:
        for epoch in setting.frames.epochs:
            found.extend(waiting.event for waiting in epoch.take(10, NOON))
        return bool(found)

    await until(comes)
    stage.stop()
    return found[0]


async def test_a_large_picture_is_stored_and_named(setting: Setting) -> None:
    stored: list[tuple[bytes, Lane, datetime]] = []
    reference = FrameRef(uri="file:///frames/1", size_bytes=len(LARGE), sha256="0" * 64)

    def large(image: bytes, lane: Lane, received: datetime) -> FrameRef:
        stored.append((image, lane, received))
        return reference

    setting.large = large
    event = await shown(setting, FakeFrame(image=LARGE, small=SMALL, coarse=SMALL))
    assert (event.image, event.image_ref, event.detection_image) == (None, reference, SMALL)
    assert stored == [(LARGE, Lane.LIVE, event.frame.received_timestamp)]


async def test_without_the_store_a_large_picture_is_made_coarser(setting: Setting) -> None:
    event = await shown(setting, FakeFrame(image=LARGE, coarse=SMALL))
    assert (event.image, event.image_ref) == (SMALL, None)


def test_a_store_that_is_away_is_left_alone_for_a_moment(tmp_path: Path) -> None:
    folder, clock = tmp_path / "objects", ManualClock(NOON)
    claims = ClaimChecks(folder.as_uri())
    store = StoredPictures(claims, clock)
    folder.write_bytes(b"no folder")
    assert store(LARGE, Lane.LIVE, NOON) is None
    folder.unlink()
    assert store(LARGE, Lane.LIVE, NOON) is None
    clock.advance(6)
    reference = store(LARGE, Lane.LIVE, NOON)
    assert reference is not None
    assert claims.load(reference) == LARGE
