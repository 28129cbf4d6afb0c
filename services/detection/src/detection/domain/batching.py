"""Cutting a batch so that its decoded pictures fit into memory."""

from collections.abc import Iterator, Sequence

from mesh.events import FrameCaptured


def portions(frames: Sequence[FrameCaptured], max_pixels: int) -> Iterator[list[FrameCaptured]]:
    """Consecutive frames of together at most `max_pixels`; one larger frame stands alone."""
    portion: list[FrameCaptured] = []
    total = 0
    for event in frames:
        pixels = event.frame.width * event.frame.height
        if portion and total + pixels > max_pixels:
            yield portion
            portion, total = [], 0
        portion.append(event)
        total += pixels
    if portion:
        yield portion
