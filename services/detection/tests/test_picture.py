import struct
from collections.abc import Callable
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.adapters.jpeg import decode_picture
from detection.domain.picture import UnreadableImageError, read_header

LIMIT = 50_000_000
Encode = Callable[..., bytes]


def png(width: int, height: int) -> bytes:
    return bytes(cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1])


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def with_png_size(data: bytes, width: int, height: int) -> bytes:
    return data[:16] + struct.pack(">II", width, height) + data[24:]


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode_picture(data)
    return caught.value.reason


@pytest.fixture
def good(jpeg: Encode) -> bytes:
    return jpeg(64, 48)


def test_the_header_tells_format_and_size(good: bytes) -> None:
    header = read_header(good, max_pixels=LIMIT)
    assert (header.format, header.width, header.height) == ("jpeg", 64, 48)
    header = read_header(png(5, 7), max_pixels=LIMIT)
    assert (header.format, header.width, header.height) == ("png", 5, 7)


def test_a_good_picture_is_decoded_to_bgr(good: bytes) -> None:
    image = decode_picture(good)
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    assert decode_picture(png(5, 7)).shape == (7, 5, 3)


def test_a_grey_picture_becomes_three_channels() -> None:
    grey = bytes(cv2.imencode(".jpg", np.zeros((9, 8), np.uint8))[1])
    assert decode_picture(grey).shape == (9, 8, 3)


def test_padding_after_the_end_mark_is_harmless(good: bytes) -> None:
    assert decode_picture(good + bytes(64)).shape == (48, 64, 3)


def test_fill_bytes_and_bare_markers_before_a_segment_are_skipped(good: bytes) -> None:
    assert read_header(good[:2] + b"\xff\xff\xff\xd0" + good[2:], max_pixels=LIMIT).width == 64


def test_no_bytes_are_empty() -> None:
    assert reason(b"") == "empty"


@pytest.mark.parametrize("data", [b"GIF89a" + bytes(40), b"hello", b"\xff\xd8", b"\x89PNG\r\n"])
def test_anything_else_has_the_wrong_magic(data: bytes) -> None:
    assert reason(data) == "wrong_magic"


def test_every_proper_prefix_of_a_jpeg_is_refused(good: bytes) -> None:
    for end in range(3, len(good) - 1, 7):
        assert reason(good[:end]) in {"truncated", "corrupt"}


def test_a_cut_picture_is_truncated(good: bytes) -> None:
    assert reason(good[:-40]) == "truncated"
    assert reason(png(5, 7)[:-6]) == "truncated"
    assert reason(png(5, 7)[:20]) == "truncated"


def test_the_end_mark_of_a_thumbnail_is_not_the_pictures(good: bytes) -> None:
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(good)) + good
    assert reason(good[:2] + thumbnail + good[2:-40]) == "truncated"


def test_a_picture_without_area_is_refused(good: bytes) -> None:
    assert reason(with_jpeg_size(good, 0, 48)) == "zero_size"
    assert reason(with_png_size(png(5, 7), 5, 0)) == "zero_size"


def test_a_bomb_is_refused_by_its_header(good: bytes) -> None:
    assert reason(with_png_size(png(5, 7), 50_000, 50_000)) == "too_many_pixels"
    assert reason(with_jpeg_size(good, 65_000, 65_000)) == "too_many_pixels"


def test_the_limit_itself_is_allowed() -> None:
    assert read_header(png(10, 10), max_pixels=100).width == 10
    with pytest.raises(UnreadableImageError):
        read_header(png(10, 10), max_pixels=99)


def test_damaged_headers_are_corrupt(good: bytes) -> None:
    assert reason(good[:2] + b"\xff\xe0\x00\x04\x00\x00nonsense" + good[-2:]) == "corrupt"
    assert reason(good[:3] + b"\xda\x00\x08" + good[-20:]) == "corrupt"
    assert reason(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 99, b"IDAT", 1, 1)) == "corrupt"


def test_a_picture_that_the_decoder_refuses_is_corrupt() -> None:
    data = png(5, 7)
    assert reason(data[:45] + b"xxxxxxxx" + data[53:]) == "corrupt"


@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_bytes_make_the_reader_fail_in_another_way(noise: bytes, cut: int) -> None:
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", png(3, 3)[:cut]):
        with suppress(UnreadableImageError):
            header = read_header(start + noise, max_pixels=LIMIT)
            assert header.width * header.height <= LIMIT
