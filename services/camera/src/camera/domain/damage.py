"""Which pictures that a decoder shows are not whole."""

from dataclasses import dataclass

from camera.domain.swallowed import Swallowed

_FIRST = -(2**63)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of a picture that the decoder showed."""

    whole: bool
    broken: int
    """Pictures that are not whole, this one included, and were not told of before."""


class Damage:
    """Leaves a damaged picture out, and what may refer to it: all up to the next key picture.

    Encoders that refresh a part of every picture send no key pictures, and others send them
    seldom. They are not waited for longer than a while, and not again until one comes; meanwhile
    every picture is shown that the decoder does not call corrupt itself. Not thread-safe.

    Args:
        longest: Key pictures are not waited for any longer, seconds.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._swallowed = Swallowed()
        self._refused: set[int] = set()
        self._since: float | None = None
        """When the first picture was damaged after the last key picture, once that is known."""
        self._damaged = False
        self._waits = True

    def took(self, place: int | None) -> None:
        """The decoder took a picture in; one of unknown place is not looked after."""
        self._swallowed.took(place)

    def refused(self, place: int | None) -> None:
        """The decoder refused a picture, which is told of by this; it may show what it has of it.

        One of unknown place is taken for the one before the next that is shown.
        """
        self._refused.add(_FIRST if place is None else place)

    def showed(self, place: int | None, *, corrupt: bool, key: bool, at: float | None) -> Shown:
        """The decoder showed a picture.

        Args:
            place: Of the picture among all.
            corrupt: Whether the decoder says so.
            key: Whether it refers to no other.
            at: Its place in the stream, seconds; one of unknown place is not waited with.
        """
        lost = self._swallowed.showed(place)
        refused = place in self._refused
        if lost or corrupt or self._has_refused(place):
            self._spoil(at)
        whole = not corrupt and not refused and self._is_believed(key=key, at=at)
        return Shown(whole, lost + (not whole and not refused))

    def emptied(self) -> None:
        """The decoder showed all that it had, and begins anew."""
        self._swallowed.emptied()
        self._refused.clear()

    def _has_refused(self, place: int | None) -> bool:
        """Whether this picture or one before it was refused, which is then forgotten."""
        before = {one for one in self._refused if place is None or one <= place}
        self._refused -= before
        return bool(before)

    def _spoil(self, at: float | None) -> None:
        self._damaged = True
        if self._since is None:
            self._since = at

    def _is_believed(self, *, key: bool, at: float | None) -> bool:
        if key:
            self._since, self._damaged, self._waits = None, False, True
        if not self._damaged or not self._waits or at is None:
            return True
        self._spoil(at)
        since = at if self._since is None else self._since
        self._waits = abs(at - since) <= self._longest
        return not self._waits
