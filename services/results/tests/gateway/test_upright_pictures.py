"""Pictures that EXIF turns upright: boxes are those of the upright picture everywhere."""

import io

import pytest
from PIL import Image

from results.adapters.pillow_pictures import PillowPictures

UPRIGHT = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM"} | {
    5: "TRANSPOSE",
    6: "ROTATE_90",
    7: "TRANSVERSE",
    8: "ROTATE_270",
}
"""EXIF orientation, and how its sensor lay: what turns the upright picture into the stored one."""


def stored(orientation: int, kind: str) -> bytes:
    """120 x 80 pixels as people see them: red on the top left, blue elsewhere."""
    image = Image.new("RGB", (120, 80), "blue")
    image.paste("red", (0, 0, 40, 40))
    if orientation in UPRIGHT:
        image = image.transpose(Image.Transpose[UPRIGHT[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    options = {"quality": 95} if kind == "JPEG" else {}
    image.save(out, kind, exif=exif, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif().get(0x0112, 1) == 1, "nobody turns it again"
        return image.convert("RGB")


def is_red(image: Image.Image, x: int, y: int) -> bool:
    colour = image.getpixel((x, y))
    assert isinstance(colour, tuple)
    return colour[0] > 150 > colour[2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_box_is_cut_out_of_the_upright_picture(orientation: int, kind: str) -> None:
    cut = opened(PillowPictures().crop(stored(orientation, kind), (0, 0, 36, 36)))
    assert cut.size == (36, 36)
    assert is_red(cut, 4, 4)
    assert is_red(cut, 30, 30)
    other = opened(PillowPictures().crop(stored(orientation, kind), (84, 44, 120, 80)))
    assert not is_red(other, 20, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_smaller_picture_is_upright(orientation: int, kind: str) -> None:
    small = opened(PillowPictures().scale(stored(orientation, kind), 60))
    assert small.size == (60, 40)
    assert is_red(small, 5, 5)
    assert not is_red(small, 50, 30)


def test_a_small_jpeg_is_handed_on_as_it_is() -> None:
    data = stored(6, "JPEG")
    assert PillowPictures().scale(data, 120) is data
    assert opened(PillowPictures().scale(data, 60)).size == (60, 40)
