"""Which frames of a stream are kept."""

from hashlib import sha256
from itertools import count

_HOLD = 2.0
"""Frames' worth of credit that may be saved; two is the least that loses nothing on the way from
a faster stream, whose credit before a frame is below one and grows by less than one."""
_TOLERANCE = 1e-6
_GOLDEN = (5**0.5 - 1) / 2


class Spread:
    """Gives one source after another its moment of the sampling period, far from all others.

    Sources that are sampled at the same moments are so for ever, and the last of them waits for the
    pictures of all others. Steps of the golden ratio keep any number of them apart; steps by chance
    would let two of four meet more often than not.

    Args:
        name: Of who samples: several begin at moments of their own.
    """

    def __init__(self, name: str = "") -> None:
        self._first = int.from_bytes(sha256(name.encode()).digest()[:4]) / (1 << 32)
        self._given = count()

    def moment(self) -> float:
        """The next source's share of any period, 0 to below 1; called from any thread."""
        return (self._first + next(self._given) * _GOLDEN) % 1.0


def phase_to(moment: float, now: float, limit: float) -> float:
    """The phase that brings a source which begins now to its moment.

    Args:
        moment: Share of the period.
        now: Seconds of a clock that all sources share.
        limit: Frames per second.
    """
    return (now * limit - moment) % 1.0 % 1.0  # a tiny negative number gives 1.0 at first


class Sampler:
    """Keeps at most `limit` frames a second of media time, evenly and without drift.

    Every frame brings the credit of the time since the one before, a kept frame costs one. Hence in
    any span of T seconds at most `limit * T + 2` frames are kept, a slower stream is kept whole,
    and a faster one is kept at exactly the limit in the long run.

    Args:
        limit: Frames per second, above 0.
        phase: How much earlier than a period after the first frame the second is due, in periods,
            0 to below 1: credit in advance, which moves the moments and costs no frame.
    """

    def __init__(self, limit: float, phase: float = 0.0) -> None:
        if not 0.0 <= phase < 1.0:
            raise ValueError(f"the phase must be from 0 to below 1, not {phase}")
        self._credit = 1.0 + phase
        self._last: float | None = None
        self.limit = limit

    @property
    def limit(self) -> float:
        """Frames per second; may be changed at any time."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        if not limit > 0:
            raise ValueError(f"the limit must be above 0 frames per second, not {limit}")
        self._limit = limit

    def keeps(self, media_time: float) -> bool:
        """Whether the frame of this moment, in seconds, is kept.

        A clock that jumps back costs at most the frames of one step.
        """
        elapsed = 0.0 if self._last is None else max(0.0, media_time - self._last)
        self._last = media_time
        self._credit = min(_HOLD, self._credit + elapsed * self._limit)
        if self._credit < 1.0 - _TOLERANCE:
            return False
        self._credit -= 1.0
        return True
