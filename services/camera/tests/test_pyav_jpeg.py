"""Decoded pictures keep their colours on the way to JPEG, whichever way they go."""

import av
import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from camera.adapters.pyav_jpeg import JpegEncoder


def scene(width: int, height: int) -> NDArray[np.uint8]:
    """Smooth in all colours, with black, white and the six full ones in its lower half."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    pixels = np.stack([across, down, 255 - across], axis=2)
    full = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    step = width // len(full)
    for place, colour in enumerate(full):
        pixels[height // 2 :, place * step : (place + 1) * step] = colour
    return pixels.astype(np.uint8)


def a_frame(
    layout: str,
    matrix: Colorspace = Colorspace.ITU601,
    span: ColorRange = ColorRange.MPEG,
    size: tuple[int, int] = (320, 160),
) -> av.VideoFrame:
    """The scene as a camera's video of this layout, matrix and range would hold it."""
    frame = av.VideoFrame.from_ndarray(scene(*size), format="rgb24")
    made = VideoReformatter().reformat(
        frame, format=layout, dst_colorspace=matrix, dst_color_range=span
    )
    made.colorspace = {Colorspace.ITU709: 1, Colorspace.ITU601: 6}[matrix]
    made.color_range = span
    return made


def seen(image: bytes | None) -> NDArray[np.int16]:
    return np.asarray(simplejpeg.decode_jpeg(image or b"")).astype(np.int16)


@pytest.mark.parametrize("layout", ["yuv420p", "nv12", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("span", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("matrix", [Colorspace.ITU601, Colorspace.ITU709])
def test_colours_are_those_of_the_scene(layout: str, span: ColorRange, matrix: Colorspace) -> None:
    pixels = seen(JpegEncoder().encode(a_frame(layout, matrix, span)))
    error = np.abs(pixels - scene(320, 160).astype(np.int16))
    assert float(np.median(error)) <= 2
    assert float(error.mean()) < 4


@pytest.mark.parametrize("layout", ["yuv420p", "yuvj420p", "yuvj422p", "yuv444p"])
def test_planes_give_the_same_picture_as_the_way_by_rgb(layout: str) -> None:
    frame = a_frame(layout, span=ColorRange.JPEG)
    by_planes = seen(JpegEncoder().encode(frame))
    rgb = frame.to_ndarray(format="rgb24")
    by_rgb = seen(simplejpeg.encode_jpeg(rgb, quality=85, colorsubsampling="420"))
    assert float(np.abs(by_planes - by_rgb).mean()) < 2.5


def test_a_stream_that_names_neither_matrix_nor_range_is_taken_for_limited_bt601() -> None:
    frame = a_frame("yuv420p")
    frame.colorspace, frame.color_range = 2, 0
    error = np.abs(seen(JpegEncoder().encode(frame)) - scene(320, 160).astype(np.int16))
    assert float(error.mean()) < 4


@pytest.mark.parametrize("size", [(321, 160), (320, 161), (17, 9)])
def test_odd_sizes_are_encoded(size: tuple[int, int]) -> None:
    width, height = size
    image = JpegEncoder().encode(a_frame("yuv420p", size=size))
    assert seen(image).shape == (height, width, 3)


@pytest.mark.parametrize("layout", ["rgb24", "gray", "rgba", "yuv420p10le"])
def test_layouts_that_are_no_plain_video_are_encoded(layout: str) -> None:
    frame = av.VideoFrame.from_ndarray(scene(320, 160), format="rgb24").reformat(format=layout)
    pixels = seen(JpegEncoder().encode(frame))
    assert float(np.abs(pixels - frame.to_ndarray(format="rgb24").astype(np.int16)).mean()) < 4


def test_one_encoder_takes_sizes_and_layouts_as_they_come() -> None:
    encoder = JpegEncoder()
    for layout, size in (("yuv420p", (320, 160)), ("nv12", (64, 48)), ("rgb24", (320, 160))):
        frame = av.VideoFrame.from_ndarray(scene(*size), format="rgb24").reformat(format=layout)
        assert seen(encoder.encode(frame)).shape == (size[1], size[0], 3)


def test_a_picture_that_is_too_large_gets_coarser_and_in_the_end_is_none() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (96, 160, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuv420p")
    encoder = JpegEncoder()
    whole = encoder.encode(frame) or b""
    assert 0 < len(encoder.encode(frame, len(whole) - 1) or b"") < len(whole)
    assert encoder.encode(frame, 10) is None
