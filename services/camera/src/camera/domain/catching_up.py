"""Which packets of video a reader that is behind leaves out."""


class CatchUp:
    """Leaves packets out up to the next key frame, where decoding can begin. Not thread-safe.

    A camera that sends key frames seldom would show nothing for long: there it leaves nothing out,
    and what comes too late is given up after it was decoded.

    Args:
        longest: Key frames that are farther apart are not waited for, seconds.
    """

    def __init__(self, longest: float) -> None:
        self.left_out = 0
        """Packets, since it was made."""
        self._longest = longest
        self._key_at: float | None = None
        self._interval: float | None = None
        self._under_way = False

    def begin(self) -> None:
        """The reader is behind."""
        if self._interval is not None and self._interval <= self._longest:
            self._under_way = True

    def resumes(self, *, key: bool, media_time: float | None) -> bool:
        """A packet came that is decoded: whether it is the first after some were left out.

        Args:
            key: Whether it holds a key frame.
            media_time: Its place in the stream, seconds.
        """
        if key and media_time is not None:
            if self._key_at is not None:
                self._interval = media_time - self._key_at
            self._key_at = media_time
        resumes = key and self._under_way
        self._under_way = self._under_way and not key
        return resumes

    def leaves_out(self, *, key: bool) -> bool:
        """Whether a packet is left out, which is counted."""
        out = self._under_way and not key
        self.left_out += out
        return out
