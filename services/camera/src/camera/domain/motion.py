"""Whether anything moved since the last picture that was sent."""

import numpy as np
from numpy.typing import NDArray

_NOISE = 12
"""Difference in brightness, of 255, that a sensor's noise does not reach in a mean of four."""


class MotionGate:
    """Compares pictures with the last one that was let through. Not thread-safe.

    Args:
        threshold: Share of the picture that must have changed, above 0.
        refresh: After so many seconds a picture is let through whatever it shows.
    """

    def __init__(self, threshold: float, refresh: float) -> None:
        self._threshold = threshold
        self._refresh = refresh
        self._sent: NDArray[np.int16] | None = None
        self._sent_at = 0.0

    def is_quiet(self, thumbnail: NDArray[np.uint8], now: float) -> bool:
        """Whether a picture shows nothing new; one that does is what the next are compared with.

        Args:
            thumbnail: The picture in grey, (height, width).
            now: Its place in the stream, seconds.
        """
        seen = _sums(thumbnail)
        if now - self._sent_at < self._refresh and self._share(seen) < self._threshold:
            return True
        self._sent, self._sent_at = seen, now
        return False

    def _share(self, seen: NDArray[np.int16]) -> float:
        """How much of the picture changed; all of it if there is nothing to compare it with."""
        if self._sent is None or self._sent.shape != seen.shape or not seen.size:
            return 1.0
        return float(np.mean(np.abs(seen - self._sent) > 4 * _NOISE))


def _sums(thumbnail: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Brightness of every two by two pixels together: a single pixel's noise drowns."""
    pixels = thumbnail.astype(np.int16)
    rows = pixels[:-1] + pixels[1:]
    return rows[:, :-1] + rows[:, 1:]
