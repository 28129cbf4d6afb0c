"""Pictures out of a stream of bytes, however the network cuts it into pieces."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from camera.domain.jpeg import START, JpegWalk, Progress, whole_jpeg

BROKEN = "broken_picture"
"""A picture that ends in its middle or makes no sense."""
TOO_LARGE = "picture_too_large"
"""A picture of more bytes than are taken."""
GARBAGE = "garbage"
"""Bytes where a picture should have begun; counted once for each stretch of them."""
_BETWEEN = 16 * 1024
"""Bytes kept of what stands between two pictures: headers, if anything."""
_PADDING = b"\r\n\t \0"
_PREFIX = 4
_NEXT = START + b"\xff"


@dataclass(frozen=True, slots=True)
class Picture:
    """One whole picture of a stream."""

    jpeg: bytes
    width: int
    height: int
    before: bytes = b""
    """What stood between the picture before and this one, its last 16 KiB."""


class Splitter(Protocol):
    """Takes bytes as they come and gives the pictures that they complete."""

    passed_over: Counter[str]
    """What was left out, by reason."""

    def feed(self, data: bytes) -> list[Picture]:
        """The pictures that are whole now."""


class MarkerSplitter:
    """Pictures that follow one another, with anything between them.

    Args:
        limit: Largest picture, bytes.
        delimiter: What a picture begins with, or, if that is no beginning of a JPEG, what stands
            before each.
        resume: What stands before each picture besides; looked for after a broken one that it
            stood before, so that neither the rest of it nor its thumbnail is taken for a picture.
    """

    def __init__(
        self, *, limit: int, delimiter: bytes = _NEXT, resume: bytes | None = None
    ) -> None:
        self.passed_over: Counter[str] = Counter()
        self._limit = limit
        self._delimiter = delimiter
        self._skipped = 0 if delimiter.startswith(START) else len(delimiter)
        self._resume = resume
        self._data = bytearray()
        self._walk: JpegWalk | None = None
        """Through the picture at hand."""
        self._discarding = False
        """Whether that picture is too large to be kept."""
        self._wanted = START if self._skipped else delimiter
        """What is looked for; a first picture needs no delimiter before it."""
        self._first = bool(self._skipped)
        self._before = b""

    def feed(self, data: bytes) -> list[Picture]:
        """The pictures that are whole now."""
        self._data += data
        found: list[Picture] = []
        while self._begin() if self._walk is None else self._go_on(self._walk, found):
            pass
        return found

    def _begin(self) -> bool:
        """Looks for the next picture; whether it has begun, or something else is looked for now."""
        if self._first:
            return self._begin_first()
        at = self._data.find(self._wanted)
        if at < 0:
            spare = len(self._data) - _BETWEEN - len(self._wanted)
            del self._data[: max(0, spare)]
            return False
        if self._wanted is self._resume:
            del self._data[:at]
            self._wanted = self._delimiter
            return True
        self._before = bytes(self._data[max(0, at - _BETWEEN) : at])
        self._enter(at + self._skipped)
        return True

    def _begin_first(self) -> bool:
        if len(self._data) < len(START):
            return False
        self._first, self._wanted = False, self._delimiter
        if self._data.startswith(START):
            self._enter(0)
        return True

    def _enter(self, at: int) -> None:
        del self._data[:at]
        self._walk, self._discarding = JpegWalk(), False

    def _go_on(self, walk: JpegWalk, found: list[Picture]) -> bool:
        """Walks on through the picture at hand; whether it is over."""
        progress = walk.advance(self._data)
        if progress is Progress.MORE:
            self._shorten(walk)
            return False
        self._walk = None
        if self._discarding or walk.position > self._limit:
            self._leave_large(walk.position)
        elif progress is Progress.BROKEN:
            self._leave_broken(walk.position)
        else:
            jpeg = bytes(self._data[: walk.position])
            found.append(Picture(jpeg, walk.width, walk.height, self._before))
            del self._data[: walk.position]
        return True

    def _shorten(self, walk: JpegWalk) -> None:
        """Keeps nothing of a picture that is too large but the way through it."""
        if not self._discarding and len(self._data) > self._limit:
            self._discarding = True
            self.passed_over[TOO_LARGE] += 1
        if self._discarding:
            passed = min(walk.position, len(self._data))
            del self._data[:passed]
            walk.forget(passed)

    def _leave_large(self, end: int) -> None:
        if not self._discarding:
            self.passed_over[TOO_LARGE] += 1
        del self._data[:end]

    def _leave_broken(self, at: int) -> None:
        self.passed_over[BROKEN] += 1
        if self._resume is not None and self._resume in self._before:
            self._wanted = self._resume
        else:
            del self._data[:at]


class LengthSplitter:
    """Pictures each of which follows its length, four bytes, the most significant first.

    A length of 0 is a sign of life. After bytes that make no sense the next length is looked for
    that a picture follows.

    Args:
        limit: Largest picture, bytes.
    """

    def __init__(self, *, limit: int) -> None:
        self.passed_over: Counter[str] = Counter()
        self._limit = limit
        self._data = bytearray()
        self._lost = False
        self._skip = 0

    def feed(self, data: bytes) -> list[Picture]:
        """The pictures that are whole now."""
        self._data += data
        found: list[Picture] = []
        while self._step(found):
            pass
        return found

    def _step(self, found: list[Picture]) -> bool:
        """Takes one thing from what came; whether there may be more."""
        if self._skip:
            return self._skip_on()
        return self._find_way() if self._lost else self._next(found)

    def _next(self, found: list[Picture]) -> bool:
        head = self._data[: _PREFIX + len(_NEXT)]
        length = int.from_bytes(head[:_PREFIX])
        if len(head) >= _PREFIX and length == 0:
            del self._data[:_PREFIX]
            return True
        if len(head) < _PREFIX + len(_NEXT):
            return False
        if head[_PREFIX:] != _NEXT or length < len(_NEXT):
            self.passed_over[GARBAGE] += 1
            self._lost = True
            del self._data[:1]
            return True
        return self._take(length, found)

    def _take(self, length: int, found: list[Picture]) -> bool:
        end = _PREFIX + length
        if length > self._limit:
            self.passed_over[TOO_LARGE] += 1
            self._skip = end
            return True
        if len(self._data) < end:
            return False
        picture = whole_jpeg(bytes(self._data[_PREFIX:end]))
        if picture is None:
            self.passed_over[BROKEN] += 1
        else:
            found.append(Picture(*picture))
        del self._data[:end]
        return True

    def _skip_on(self) -> bool:
        passed = min(self._skip, len(self._data))
        del self._data[:passed]
        self._skip -= passed
        return not self._skip

    def _find_way(self) -> bool:
        at = self._data.find(_NEXT, _PREFIX)
        while at >= 0:
            if len(_NEXT) <= int.from_bytes(self._data[at - _PREFIX : at]) <= self._limit:
                del self._data[: at - _PREFIX]
                self._lost = False
                return True
            at = self._data.find(_NEXT, at + 1)
        del self._data[: max(0, len(self._data) - _PREFIX - len(_NEXT) + 1)]
        return False


def is_garbage(before: bytes, delimiter: bytes) -> bool:
    """Whether what stood between two pictures is more than padding and the delimiter."""
    return bool(before.replace(delimiter, b"").strip(_PADDING))
