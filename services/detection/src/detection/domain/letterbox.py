"""Fitting a picture into a detector's input without changing its aspect."""

from dataclasses import dataclass

STRIDE = 32
"""Detectors halve their input five times: sides must be multiples of this."""
ENLARGED = 2.0
"""A small picture is enlarged at most so much: landmarks of small faces are drawn too upright,
which costs recognition (LFW at 250 px; docs/performance.md). 2.56 was no better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """A picture scaled into the top left corner of an input; the rest is padding.

    Dividing input coordinates by `scale` gives picture coordinates.
    """

    scale: float
    """Input pixels per picture pixel, at most 2."""
    content_width: int
    """Width of the scaled picture, pixels."""
    content_height: int
    """Height of the scaled picture, pixels."""
    width: int
    """Width of the input, pixels."""
    height: int
    """Height of the input, pixels."""


def fit(width: int, height: int, long_side: int, *, multiple: int = STRIDE) -> Letterbox:
    """The letterbox of a picture: its own aspect, the long side at most `long_side`.

    A smaller picture is enlarged, at most twice. The input has the picture's aspect instead of
    being square, which saves 40 % of the work on 16:9.

    Args:
        width: of the picture, pixels, at least 1.
        height: of the picture, pixels, at least 1.
        long_side: of the scaled picture, pixels.
        multiple: the sides of the input are multiples of it, pixels.
    """
    scale = min(ENLARGED, long_side / max(width, height))
    content_width = max(1, round(width * scale))
    content_height = max(1, round(height * scale))
    return Letterbox(
        scale=scale,
        content_width=content_width,
        content_height=content_height,
        width=_up(content_width, multiple),
        height=_up(content_height, multiple),
    )


def fit_into(width: int, height: int, *, input_width: int, input_height: int) -> Letterbox:
    """The letterbox of a picture in an input of one size; it is never enlarged.

    Args:
        width: of the picture, pixels, at least 1.
        height: of the picture, pixels, at least 1.
        input_width: pixels.
        input_height: pixels.
    """
    scale = min(1.0, input_width / width, input_height / height)
    return Letterbox(
        scale=scale,
        content_width=max(1, round(width * scale)),
        content_height=max(1, round(height * scale)),
        width=input_width,
        height=input_height,
    )


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
