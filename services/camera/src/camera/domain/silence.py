"""How long the broker has been silent."""


class Silence:
    """Since when nothing that was sent has been answered. Not thread-safe."""

    def __init__(self) -> None:
        self._since: float | None = None

    def sent(self, now: float) -> None:
        """Something was sent, at this monotonic second."""
        self._since = now if self._since is None else self._since

    def answered(self, now: float, *, more: bool) -> None:
        """The broker answered; `more` says whether it still owes answers."""
        self._since = now if more else None

    def seconds(self, now: float) -> float:
        """For how long it has owed every answer; 0 if it owes none."""
        since = self._since
        return 0.0 if since is None else now - since
