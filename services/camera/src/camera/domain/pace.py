"""How far a stream's pictures lie behind the stream's own pace."""

_CREEP = 0.01
"""Share by which a camera's clock may run slow without its pictures being called late."""


class Pace:
    """Compares the media clock of one connection with ours; the camera's wall clock plays no part.

    The picture that came with the least delay is the reference. It is forgotten by 10 ms a second,
    as no camera's media clock runs exactly like ours.
    """

    def __init__(self) -> None:
        self._least: float | None = None
        self._at = 0.0

    def lag(self, media_time: float, monotonic: float) -> float:
        """By how much a picture came later than the timeliest one; at least 0. All in seconds.

        Args:
            media_time: The picture's place in the stream.
            monotonic: When it came.
        """
        delay = monotonic - media_time
        if self._least is None:
            least = delay
        else:
            least = min(delay, self._least + _CREEP * max(0.0, monotonic - self._at))
        self._least, self._at = least, monotonic
        return delay - least


class Lateness:
    """For how long every picture has been late. Not thread-safe."""

    def __init__(self) -> None:
        self._since: float | None = None

    def seconds(self, now: float, *, late: bool) -> float:
        """A picture came, late or not: for how long none was in time, seconds; 0 if this one is."""
        if not late:
            self._since = None
            return 0.0
        self._since = now if self._since is None else self._since
        return now - self._since
