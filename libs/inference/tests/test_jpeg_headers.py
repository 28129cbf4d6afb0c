"""Which JPEGs every decoder reads alike."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.jpeg_headers import is_plain

PIXELS = cv2.resize(np.random.default_rng(2).integers(0, 256, (6, 5, 3), np.uint8), (50, 60))


def saved(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(PIXELS), format="JPEG", exif=exif)


@pytest.mark.parametrize(
    "options",
    [
        [],
        [cv2.IMWRITE_JPEG_QUALITY, 70],
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        [cv2.IMWRITE_JPEG_RST_INTERVAL, 2],
    ],
)
def test_what_cameras_and_detection_write_is_plain(options: list[int]) -> None:
    assert is_plain(cv2.imencode(".jpg", PIXELS, options)[1].tobytes())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xd9",
        b"nonsense",
        cv2.imencode(".png", PIXELS)[1].tobytes(),
        cv2.imencode(".jpg", PIXELS[..., 0])[1].tobytes(),
        cv2.imencode(".jpg", PIXELS)[1].tobytes()[:-40],
        saved(Image.fromarray(PIXELS).convert("CMYK"), format="JPEG"),
        saved(Image.fromarray(PIXELS), format="JPEG", keep_rgb=True),
        turned(),
    ],
    ids=["empty", "bare", "text", "PNG", "grey", "cut", "CMYK", "RGB", "turned"],
)
def test_what_decoders_differ_on_is_not(data: bytes) -> None:
    assert not is_plain(data)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    assert is_plain(b"\xff\xd8" + data + b"\xff\xd9") in {True, False}
