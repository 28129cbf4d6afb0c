"""Stand-ins for what the stage is given."""


class Meter:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.failures = 0

    def worked(self, count: int, seconds: float) -> None:
        self.counts.append(count)

    def failed(self) -> None:
        self.failures += 1
