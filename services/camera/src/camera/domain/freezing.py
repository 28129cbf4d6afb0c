"""Whether a camera shows the same picture for ever."""


class Freeze:
    """For how long the pictures have been exactly equal, also over connections. Not thread-safe.

    A camera that was found frozen stays so over new connections until it shows something else:
    each of them would begin with the same picture and look alive for a moment.
    """

    def __init__(self) -> None:
        self._shown: int | None = None
        self._since = 0.0
        self._found = False

    def shows(self, fingerprint: int, now: float, limit: float) -> bool:
        """A picture was looked at: whether the same one has been shown for so long.

        Args:
            fingerprint: Equal for equal pictures.
            now: Monotonic seconds.
            limit: Seconds, above 0.
        """
        if fingerprint != self._shown:
            self._shown, self._since = fingerprint, now
        self._found = now - self._since >= limit
        return self._found

    def connected(self) -> None:
        """A new connection begins: only a frozen picture is remembered."""
        if not self._found:
            self._shown = None
