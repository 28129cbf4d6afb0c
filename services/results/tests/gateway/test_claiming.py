"""Large pictures are published beside their record; without a store they are made smaller."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mesh.claims import ClaimChecks
from mesh.events import INLINE_BYTES, FrameCaptured, Lane
from mesh.stage import Output
from mesh.testing import a_camera, a_frame_captured, a_frame_header
from results.adapters.claiming import ClaimingPublisher
from results.adapters.memory_gateway import InMemoryPublisher
from results.adapters.pillow_pictures import PillowPictures
from results.domain.errors import AwayError


def noise(width: int, height: int) -> bytes:
    out = BytesIO()
    Image.effect_noise((width, height), 120).convert("RGB").save(out, "PNG")
    return out.getvalue()


LARGE = noise(1200, 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def broker() -> InMemoryPublisher:
    return InMemoryPublisher()


@pytest.fixture
def publish(folder: Path, broker: InMemoryPublisher) -> Callable[[bytes], FrameCaptured]:
    publisher = ClaimingPublisher(broker, ClaimChecks(folder.as_uri()), PillowPictures())

    def send(image: bytes) -> FrameCaptured:
        header = a_frame_header(lane=Lane.REQUEST, width=1200, height=1000)
        event = a_frame_captured(frame=header, image=image, image_format="png")
        publisher.publish([Output("frames.request", header.camera_id, event)])
        sent = broker.published[-1].event
        assert isinstance(sent, FrameCaptured)
        return sent

    return send


def test_what_fits_its_record_is_published_as_it_is(
    publish: Callable[[bytes], FrameCaptured], folder: Path
) -> None:
    assert publish(b"small").image == b"small"
    assert not folder.exists()


def test_other_records_are_published_as_they_are(broker: InMemoryPublisher, folder: Path) -> None:
    output = Output("cameras", "cam", a_camera())
    ClaimingPublisher(broker, ClaimChecks(folder.as_uri()), PillowPictures()).publish([output])
    assert broker.published == [output]


def test_a_large_picture_lies_in_the_store_as_it_came(
    publish: Callable[[bytes], FrameCaptured], folder: Path
) -> None:
    sent = publish(LARGE)
    assert (sent.image, sent.image_format) == (None, "png")
    assert sent.image_ref is not None
    assert ClaimChecks(folder.as_uri()).load(sent.image_ref) == LARGE


def test_without_the_store_a_large_picture_travels_smaller_with_the_same_pixels(
    publish: Callable[[bytes], FrameCaptured], folder: Path
) -> None:
    folder.write_bytes(b"no folder")
    sent = publish(LARGE)
    assert sent.image is not None
    assert (sent.image_ref, sent.image_format) == (None, "jpeg")
    assert len(sent.image) <= INLINE_BYTES < len(LARGE)
    with Image.open(BytesIO(sent.image)) as image:
        assert image.size == (1200, 1000)


@pytest.mark.parametrize("image", [LARGE[: 2 * INLINE_BYTES], noise(2600, 2600)])
def test_what_cannot_be_made_smaller_waits_for_the_store(
    publish: Callable[[bytes], FrameCaptured], folder: Path, image: bytes
) -> None:
    folder.write_bytes(b"no folder")
    with pytest.raises(AwayError) as refused:
        publish(image)
    assert refused.value.dependency == "object_store"
