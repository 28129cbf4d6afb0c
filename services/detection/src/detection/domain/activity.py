"""What somebody seems to do: a fall, told from the boxes of a track. A heuristic, no model.

Somebody who stood upright a moment ago and now lies, lower in the picture, has probably fallen.
The rule sees only boxes: it is blind for falls towards or away from the camera, takes somebody
who lies down for fallen, and needs a camera that looks from the side, not from above.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from mesh.events import Activity, BoundingBox

MODEL_ID = "fall-heuristic"


@dataclass(frozen=True, slots=True, kw_only=True)
class FallRule:
    """When somebody counts as fallen."""

    window: float = 10.0
    """Seconds back in which the person stood upright."""
    upright: float = 1.4
    """Height over width of a standing person, at least."""
    lying: float = 0.9
    """Height over width of a lying person, at most."""
    held: float = 0.8
    """Seconds that the person has lain without a break, at least."""
    drop: float = 0.25
    """How far the top of the box sank, as a share of the standing height, at least."""


@dataclass(frozen=True, slots=True)
class Posture:
    """The box of a person at a moment."""

    seconds: float
    """When, on a clock of the stream."""
    box: BoundingBox

    @property
    def aspect(self) -> float:
        """Height over width."""
        return (self.box.y2 - self.box.y1) / max(self.box.x2 - self.box.x1, 1e-9)


def fall(window: Sequence[Posture], rule: FallRule) -> Activity | None:
    """Whether the person of a track has fallen, and how clearly.

    The score is the mean of two shares from 0 to 1: how much flatter the box is than that of
    somebody who stands (1 from a third of `rule.upright` on), and how far its top sank as a share
    of the standing height.

    Args:
        window: the last postures of one track, oldest first.
        rule: what counts.
    """
    if not window or window[-1].aspect > rule.lying:
        return None
    now = window[-1]
    standing = [
        posture
        for posture in window
        if posture.aspect >= rule.upright and now.seconds - posture.seconds <= rule.window
    ]
    if not standing:
        return None
    *_, first = takewhile(lambda posture: posture.aspect <= rule.lying, reversed(window))
    before = standing[-1].box
    sunk = (now.box.y1 - before.y1) / (before.y2 - before.y1)
    if now.seconds - first.seconds < rule.held or sunk < rule.drop:
        return None
    flat = min(1.0, 1.5 * (1.0 - now.aspect / rule.upright))
    return Activity(name="fall", score=(flat + min(1.0, sunk)) / 2, model_id=MODEL_ID)


class Postures:
    """The last postures of the tracks of many streams; forgets those that were not seen lately."""

    def __init__(self, rule: FallRule | None = None, *, most: int = 4096) -> None:
        """Begin with nobody.

        Args:
            rule: what counts as a fall.
            most: tracks that are remembered.
        """
        self._rule = rule or FallRule()
        self._most = most
        self._tracks: OrderedDict[str, tuple[Posture, ...]] = OrderedDict()

    def __len__(self) -> int:
        """How many tracks are remembered."""
        return len(self._tracks)

    def see(self, track: str, posture: Posture) -> Activity | None:
        """Take a posture of a track, and say whether it shows a fall.

        One that is not newer than the last changes nothing: a repeated frame gives the same.
        """
        known = self._tracks.pop(track, ())
        if not known or posture.seconds > known[-1].seconds:
            oldest = posture.seconds - self._rule.window
            known = (*(past for past in known if past.seconds >= oldest), posture)
        self._tracks[track] = known
        if len(self._tracks) > self._most:
            self._tracks.popitem(last=False)
        return fall(known, self._rule)
