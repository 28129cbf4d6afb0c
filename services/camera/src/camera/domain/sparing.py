"""Which packets of video need no decoding, because nobody asked for their pictures."""

from collections import deque

_INTERVALS = 3
_SLACK = 1.05
"""Of the wanted interval: cameras' clocks tremble."""


class Sparing:
    """Leaves out what lies between key frames while these alone come as often as is wanted.

    A key frame refers to no other picture, and all others refer to one before them. Where a camera
    sends one a second and a picture a second is wanted, nothing else has to be decoded. Not
    thread-safe.

    Args:
        longest: Key frames that are farther apart are not relied upon, seconds.
    """

    def __init__(self, longest: float) -> None:
        self.left_out = 0
        """Packets, since it was made."""
        self._longest = longest
        self._wanted_every = 0.0
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._key_at: float | None = None
        self._between = 0
        """Packets since the last key frame."""
        self._keys_alone = False

    @property
    def keys_alone(self) -> bool:
        """Whether nothing is decoded until the next key frame."""
        return self._keys_alone

    def wants(self, fps: float) -> None:
        """So many pictures a second are wanted at most; counts from the next key frame on."""
        self._wanted_every = 1.0 / fps

    def leaves_out(self, *, key: bool, media_time: float | None) -> bool:
        """Whether a packet is left out, which is counted.

        Args:
            key: Whether it holds a key frame.
            media_time: Its place in the stream, seconds; without one nothing is left out.
        """
        if key:
            self._note(media_time)
            self._keys_alone = self._suffice()
            self._between = 0
            return False
        self._between += 1
        self.left_out += self._keys_alone
        return self._keys_alone

    def _note(self, media_time: float | None) -> None:
        if media_time is None:
            self._intervals.clear()
        elif self._key_at is not None:
            self._intervals.append(media_time - self._key_at)
        self._key_at = media_time

    def _suffice(self) -> bool:
        """Whether key frames came regularly, often enough, and with something between them."""
        if len(self._intervals) < _INTERVALS or not self._between:
            return False
        most = min(_SLACK * self._wanted_every, self._longest)
        return min(self._intervals) > 0 and max(self._intervals) <= most
