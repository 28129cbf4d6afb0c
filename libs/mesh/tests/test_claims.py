"""Large pictures travel as claim checks, and lie no longer than anybody can ask for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mesh.claims import ClaimChecks, ClaimError
from mesh.errors import ConfigurationError, TransientError
from mesh.events import INLINE_BYTES, Lane
from mesh.testing import a_frame_captured, a_frame_header

NOON = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
LARGE = bytes(INLINE_BYTES + 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def claims(folder: Path) -> ClaimChecks:
    return ClaimChecks(folder.as_uri())


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_picture_up_to_one_mebibyte_travels_in_its_record(
    claims: ClaimChecks, folder: Path
) -> None:
    event = a_frame_captured(image=bytes(INLINE_BYTES))
    assert claims.checked(event) is event
    assert objects(folder) == []


def test_a_larger_picture_travels_as_a_reference(claims: ClaimChecks, folder: Path) -> None:
    header = a_frame_header(lane=Lane.REQUEST, received_timestamp=NOON)
    event = claims.checked(a_frame_captured(frame=header, image=LARGE))
    assert event.image is None
    assert event.image_ref is not None
    (stored,) = objects(folder)
    assert event.image_ref.uri == stored.as_uri()
    assert stored.parent == folder / "frames" / "request" / "20260101T12"
    assert claims.load(event.image_ref) == LARGE
    assert claims.checked(event) is event


def test_two_frames_with_the_same_picture_share_nothing(claims: ClaimChecks) -> None:
    first, second = (claims.put(LARGE, Lane.LIVE, NOON) for _ in range(2))
    assert first.sha256 == second.sha256
    assert first.uri != second.uri


def test_a_picture_that_was_changed_or_is_gone_is_never_returned(
    claims: ClaimChecks, folder: Path
) -> None:
    reference = claims.put(LARGE, Lane.LIVE, NOON)
    (stored,) = objects(folder)
    stored.write_bytes(b"\1" + LARGE[1:])
    with pytest.raises(ClaimError, match="sha256"):
        claims.load(reference)
    stored.write_bytes(b"short")
    with pytest.raises(ClaimError, match="5 bytes, not"):
        claims.load(reference)
    stored.unlink()
    with pytest.raises(ClaimError, match="gone"):
        claims.load(reference)


@pytest.mark.parametrize("size", [0, -1, 1 << 40])
def test_an_absurd_size_is_refused_before_anything_is_fetched(
    claims: ClaimChecks, size: int
) -> None:
    reference = replace(claims.put(LARGE, Lane.LIVE, NOON), size_bytes=size)
    with pytest.raises(ClaimError, match="claims"):
        claims.load(reference)


@pytest.mark.parametrize("path", ["/etc/passwd", "{root}/snapshots/ab/x", "{root}/frames/../x"])
def test_only_pictures_of_frames_are_fetched(claims: ClaimChecks, folder: Path, path: str) -> None:
    reference = claims.put(LARGE, Lane.LIVE, NOON)
    uri = "file://" + path.format(root=folder)
    with pytest.raises(ClaimError):
        claims.load(replace(reference, uri=uri))


def test_a_store_whose_folder_is_gone_is_away(claims: ClaimChecks, folder: Path) -> None:
    reference = claims.put(LARGE, Lane.LIVE, NOON)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(TransientError, match="object store is away"):
        claims.load(reference)
    folder.write_bytes(b"no folder")
    with pytest.raises(TransientError, match="object store is away"):
        claims.put(LARGE, Lane.LIVE, NOON)
    assert claims.check() is not None


@pytest.mark.parametrize(
    ("lane", "kept"),
    [(Lane.LIVE, timedelta(minutes=10)), (Lane.EVIDENCE, timedelta(days=3))],
)
def test_a_picture_is_expired_once_its_record_is(
    claims: ClaimChecks, folder: Path, lane: Lane, kept: timedelta
) -> None:
    reference = claims.put(LARGE, lane, NOON)
    (folder / "frames" / "live" / "not an hour").mkdir(parents=True)

    assert claims.expire(NOON + kept + timedelta(minutes=59)) == 0
    assert claims.load(reference) == LARGE
    assert claims.expire(NOON + kept + timedelta(hours=2)) == 1
    assert objects(folder) == []
    assert claims.expire(NOON + kept + timedelta(hours=2)) == 0


def test_an_unknown_address_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_OBJECTS_URL"):
        ClaimChecks("gopher://somewhere")
