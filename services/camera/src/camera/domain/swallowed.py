"""Which pictures a decoder took in and never showed."""

from heapq import heappop, heappush


class Swallowed:
    """Counts pictures that were overtaken by later ones; they leave a decoder in their order.

    Those before the first that is shown are none: decoding begins at a key frame.
    """

    def __init__(self) -> None:
        self._inside: list[int] = []
        self._shown = False

    def took(self, place: int | None) -> None:
        """The decoder took a picture in; one of unknown place is not looked after."""
        if place is not None:
            heappush(self._inside, place)

    def showed(self, place: int | None) -> int:
        """The decoder showed a picture: how many before it will never be shown."""
        if place is None:
            return 0
        overtaken = 0
        while self._inside and self._inside[0] <= place:
            overtaken += heappop(self._inside) < place
        first, self._shown = not self._shown, True
        return 0 if first else overtaken

    def emptied(self) -> None:
        """The decoder showed all that it had, and begins anew."""
        self._inside.clear()
        self._shown = False
