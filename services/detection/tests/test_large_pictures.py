"""Pictures that lie in the object store: fetched, checked, waited for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from services.detection.tests.fakes import Chips, Meter
from services.detection.tests.test_stage import captured, only

from detection.adapters.frame_store import ObjectFrameStore
from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter
from detection.adapters.tracker import ShortTermTracker
from detection.ports import FaceDetector
from detection.stage import DetectionPolicy, DetectionStage, Tools
from mesh.claims import ClaimChecks
from mesh.clock import ManualClock
from mesh.errors import TransientError
from mesh.events import FrameRef, Lane, Outcome
from mesh.testing import NOON
from mesh.topics import Topics

Encode = Callable[..., bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def claims(folder: Path) -> ClaimChecks:
    return ClaimChecks(folder.as_uri())


@pytest.fixture
def stage(fake_detector: FaceDetector, claims: ClaimChecks) -> DetectionStage:
    tools = Tools(
        detector=fake_detector,
        tracker=ShortTermTracker(),
        decoder=OpenCvDecoder(),
        cutter=OpenCvFaceCutter(),
        frames=ObjectFrameStore(claims),
        meter=Meter(),
        clock=ManualClock(NOON),
    )
    return DetectionStage(
        tools=tools,
        policy=DetectionPolicy(),
        chips=Chips(),
        topics=Topics("t."),
        instance_id="detection-0",
    )


def test_a_picture_behind_a_claim_check_is_searched(
    stage: DetectionStage, claims: ClaimChecks, jpeg: Encode
) -> None:
    reference = claims.put(jpeg(side=80), Lane.EVIDENCE, NOON)
    event = only(stage.process([captured(None, image_ref=reference)])[0])
    assert (event.outcome, len(event.faces)) == (Outcome.PROCESSED, 1)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda ref: replace(ref, uri=ref.uri + "0"), "it is gone"),
        (lambda ref: replace(ref, size_bytes=ref.size_bytes + 1), "bytes, not"),
        (lambda ref: replace(ref, sha256="0" * 64), "its sha256 is another one"),
        (lambda ref: replace(ref, uri="file:///etc/passwd"), "outside"),
    ],
)
def test_a_picture_that_is_not_what_was_stored_fails_alone(
    stage: DetectionStage,
    claims: ClaimChecks,
    jpeg: Encode,
    spoil: Callable[[FrameRef], FrameRef],
    reason: str,
) -> None:
    reference = claims.put(jpeg(side=80), Lane.EVIDENCE, NOON)
    frames = [captured(None, image_ref=spoil(reference)), captured(jpeg(side=80), 1)]

    bad, good = (only(outcome) for outcome in stage.process(frames))

    assert bad.outcome is Outcome.FAILED
    assert bad.reason is not None
    assert bad.reason.startswith("image_ref_unavailable: ")
    assert reason in bad.reason
    assert good.outcome is Outcome.PROCESSED


def test_a_picture_is_waited_for_while_the_store_is_away(
    stage: DetectionStage, claims: ClaimChecks, jpeg: Encode, folder: Path
) -> None:
    reference = claims.put(jpeg(side=80), Lane.EVIDENCE, NOON)
    frame = captured(None, image_ref=reference, lane=Lane.EVIDENCE, deadline=None)
    elsewhere = folder.rename(folder.with_name("away"))
    with pytest.raises(TransientError, match="object store is away"):
        stage.process([frame])
    elsewhere.rename(folder)
    assert only(stage.process([frame])[0]).outcome is Outcome.PROCESSED


def test_nobody_waits_for_the_store_beyond_a_deadline(
    stage: DetectionStage, claims: ClaimChecks, jpeg: Encode, folder: Path
) -> None:
    reference = claims.put(jpeg(side=80), Lane.REQUEST, NOON)
    folder.rename(folder.with_name("away"))
    late = captured(None, image_ref=reference, deadline=NOON - timedelta(seconds=1))
    (outcome,) = stage.process([late])
    assert "image_ref_unavailable" not in repr(outcome)
