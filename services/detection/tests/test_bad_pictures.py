"""Whatever pictures arrive: the right pixels, or an error that names what is wrong."""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from detection.adapters.jpeg import MAX_PIXELS, decode_picture
from detection.domain.face import Picture
from detection.domain.picture import UnreadableImageError

WIDTH, HEIGHT = 48, 32
RED, GREEN, BLUE, GREY = (0, 0, 255), (0, 255, 0), (255, 0, 0), (128, 128, 128)
"""Colours in the order of the decoder: BGR."""
UPRIGHT = {1: None, 2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM"} | {
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""EXIF orientation, and what makes such a picture upright."""


def quarters() -> Image.Image:
    """Red, green, blue and grey quarters, clockwise from the top left corner's."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    middle, centre = HEIGHT // 2, WIDTH // 2
    pixels[:middle, :centre] = RED[::-1]
    pixels[:middle, centre:] = GREEN[::-1]
    pixels[middle:, centre:] = BLUE[::-1]
    pixels[middle:, :centre] = GREY[::-1]
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decode(data: bytes) -> Picture:
    return decode_picture(data)


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode(data)
    return caught.value.reason


def corners(picture: Picture) -> list[tuple[int, ...]]:
    """The colours near the corners, clockwise from the top left one."""
    height, width = picture.shape[:2]
    places = ((4, 4), (width - 5, 4), (width - 5, height - 5), (4, height - 5))
    return [tuple(int(level) for level in picture[y, x]) for x, y in places]


def assert_quarters(picture: Picture, *, off: int = 12) -> None:
    assert picture.dtype == np.uint8
    assert picture.shape == (HEIGHT, WIDTH, 3)
    for found, expected in zip(corners(picture), (RED, GREEN, BLUE, GREY), strict=True):
        assert found == pytest.approx(expected, abs=off)


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def deep_png(kind: str) -> bytes:
    """The quarters with 16 bits a channel, in colour or grey, with or without alpha."""
    image = np.asarray(quarters())[:, :, ::-1].astype(np.uint16) * 257
    if kind == "grey":
        return bytes(cv2.imencode(".png", image[:, :, 1])[1])
    if kind == "alpha":
        image = np.dstack([image, np.full((HEIGHT, WIDTH), 65535, np.uint16)])
    return bytes(cv2.imencode(".png", image)[1])


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"),
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("CMYK", "JPEG"),
        ("YCbCr", "JPEG"),
    ],
)
def test_every_colour_mode_gives_the_same_colours(mode: str, kind: str) -> None:
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image = quarters().quantize(16) if mode == "P" else quarters().convert(mode)
    assert_quarters(decode(saved(image, kind, **options)), off=20)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_a_grey_picture_has_three_equal_channels(mode: str) -> None:
    grey = decode(saved(quarters().convert(mode), "PNG"))
    assert grey.shape == (HEIGHT, WIDTH, 3)
    assert (grey == grey[:, :, :1]).all()


def test_a_transparent_palette_is_read_by_its_colours() -> None:
    image = quarters().convert("P", palette=Image.Palette.ADAPTIVE)
    assert_quarters(decode(saved(image, "PNG", transparency=0)))


def test_alpha_is_left_out_not_blended() -> None:
    image = quarters().convert("RGBA")
    image.putalpha(0)
    assert_quarters(decode(saved(image, "PNG")))


@pytest.mark.parametrize("kind", ["colour", "alpha"])
def test_sixteen_bits_become_eight(kind: str) -> None:
    assert_quarters(decode(deep_png(kind)))


def test_sixteen_bits_of_grey_become_eight_of_three_channels() -> None:
    picture = decode(deep_png("grey"))
    assert [corner[0] for corner in corners(picture)] == pytest.approx([0, 255, 0, 128], abs=1)


@pytest.mark.parametrize("progressive", [False, True])
def test_baseline_and_progressive_jpegs_are_read(progressive: bool) -> None:
    assert_quarters(
        decode(saved(quarters(), "JPEG", quality=95, subsampling=0, progressive=progressive))
    )


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_is_turned_upright_by_its_orientation(orientation: int, kind: str) -> None:
    turn = UPRIGHT[orientation]
    # What the sensor saw: the upright picture, turned back.
    back = {"ROTATE_90": "ROTATE_270", "ROTATE_270": "ROTATE_90"}.get(turn or "", turn)
    seen = quarters().transpose(Image.Transpose[back]) if back else quarters()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    assert_quarters(decode(saved(seen, kind, exif=exif, **options)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1, 1), (1, 999), (999, 1), (2, 3)])
def test_tiny_and_thin_pictures_are_pictures(size: tuple[int, int], kind: str) -> None:
    assert decode(saved(quarters().resize(size), kind)).shape == (size[1], size[0], 3)


def test_an_8k_picture_is_read() -> None:
    assert decode(saved(Image.new("L", (7680, 4320), 90), "JPEG")).shape == (4320, 7680, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused_by_name(kind: str) -> None:
    assert reason(saved(quarters(), kind)) == "wrong_magic"


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animations_of_other_formats_are_refused_by_name(kind: str) -> None:
    others = [Image.new("RGB", (WIDTH, HEIGHT), "black")]
    assert reason(saved(quarters(), kind, save_all=True, append_images=others)) == "wrong_magic"


def test_of_an_animated_png_the_first_frame_counts() -> None:
    others = [Image.new("RGB", (WIDTH, HEIGHT), "black") for _ in range(3)]
    data = saved(quarters(), "PNG", save_all=True, append_images=others)
    assert b"acTL" in data
    assert_quarters(decode(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_bytes_tell_the_format_whatever_the_record_says(kind: str) -> None:
    assert_quarters(decode(saved(quarters(), kind)), off=60)


@pytest.mark.parametrize("tail", [b"\x00" * 4096, b"\xff" * 100, b"MPF second picture", b"\n"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_follows_the_picture_is_ignored(kind: str, tail: bytes) -> None:
    assert_quarters(decode(saved(quarters(), kind) + tail), off=60)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("padding", [b"", b"\x00" * 1000])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_that_was_cut_is_truncated(kind: str, padding: bytes, share: float) -> None:
    data = saved(quarters().resize((480, 320)), kind)
    assert reason(data[: int(share * len(data))] + padding) in {"truncated", "corrupt"}


def test_a_png_with_a_damaged_tail_is_corrupt() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    data = bytearray(saved(Image.fromarray(noise), "PNG"))
    data[-2000:-100] = bytes(1900)
    assert reason(bytes(data)) == "corrupt"


def test_a_jpeg_with_a_damaged_tail_keeps_what_came_before() -> None:
    """Its marks are whole, and a scan has no checksum: nobody can tell, as in any viewer."""
    data = saved(quarters().resize((480, 320), Image.Resampling.NEAREST), "JPEG", quality=95)
    place = data.index(b"\xff\xda") + 14
    cut = place + (len(data) - place) * 3 // 4
    picture = decode(data[:cut] + b"\xff\xd9")
    assert picture.shape == (320, 480, 3)
    assert tuple(picture[10, 10]) == pytest.approx(RED, abs=20)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9)) + chunk(b"IEND", b"")
    assert reason(b"\x89PNG\r\n\x1a\n" + header + body) == "too_many_pixels"


def test_a_bomb_that_understates_its_size_is_read_as_far_as_it_says() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(50_000_000), 9)) + chunk(b"IEND", b"")
    assert decode(b"\x89PNG\r\n\x1a\n" + header + body).shape == (4, 4, 3)
