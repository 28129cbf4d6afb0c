"""Fitting a picture into a detector's input without changing its aspect."""

from dataclasses import dataclass

STRIDE = 32
"""Detectors halve their input five times: sides must be multiples of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """A picture scaled into the top left corner of an input; the rest is padding.

    Dividing input coordinates by `scale` gives picture coordinates.
    """

    scale: float
    """Input pixels per picture pixel, at most 1."""
    content_width: int
    """Width of the scaled picture, pixels."""
    content_height: int
    """Height of the scaled picture, pixels."""
    width: int
    """Width of the input, a multiple of 32."""
    height: int
    """Height of the input, a multiple of 32."""


def fit(width: int, height: int, long_side: int) -> Letterbox:
    """The letterbox of a picture: its own aspect, the long side at most `long_side`.

    A picture is never enlarged. The input has the picture's aspect instead of being square,
    which saves 40 % of the work on 16:9.

    Args:
        width: of the picture, pixels, at least 1.
        height: of the picture, pixels, at least 1.
        long_side: of the scaled picture, pixels.
    """
    scale = min(1.0, long_side / max(width, height))
    content_width = max(1, round(width * scale))
    content_height = max(1, round(height * scale))
    return Letterbox(
        scale=scale,
        content_width=content_width,
        content_height=content_height,
        width=_up(content_width),
        height=_up(content_height),
    )


def _up(side: int) -> int:
    return -(-side // STRIDE) * STRIDE
