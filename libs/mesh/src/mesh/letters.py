"""Dead letters as an operator finds them: which there are, what they were, which came again."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from typing_extensions import override

from mesh.crypto import Cipher
from mesh.deadletters import ADDED_HEADERS, read_dead_letter
from mesh.errors import ConfigurationError
from mesh.record import Headers, RawRecord

REPLAYED = "replayed-letter"
"""Header of a note on the dead-letter topic: the letter of this name was published again."""
REPLAY = "replay"
"""Header of a record that came from a dead letter: the name of the letter."""
_NAME = re.compile(r"(\d+):(\d+)")
_AGE = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Place(NamedTuple):
    """Where a letter lies on the dead-letter topic; written `partition:offset`, its name."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, name: str) -> "Place":
        """The place that a name means.

        Raises:
            ConfigurationError: It is no name of a letter.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ConfigurationError(f"a letter is named partition:offset, not {name!r}")
        return cls(int(match[1]), int(match[2]))

    @override
    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What the headers of a letter tell; its bytes stay closed."""

    place: Place
    at: datetime | None
    """When it was written, UTC."""
    key: str | None
    headers: Mapping[str, str]
    replayed: bool = False

    @property
    def reason(self) -> str:
        """Why the record was given up; the first word is for machines."""
        return self.headers.get("reason", "")

    @property
    def origin(self) -> str:
        """The topic that the record was read from."""
        return self.headers["origin-topic"]

    def render(self) -> dict[str, object]:
        """As the command prints it."""
        origin = (self.headers.get(f"origin-{part}", "?") for part in ("partition", "offset"))
        return {
            "letter": str(self.place),
            "at": self.at.isoformat(timespec="seconds") if self.at else None,
            "reason": self.reason,
            "origin": ":".join((self.origin, *origin)),
            "key": self.key,
            "service": self.headers.get("service"),
            "version": self.headers.get("version"),
            "camera_id": self.headers.get("camera-id"),
            "sequence_number": self.headers.get("sequence-number"),
            "replayed": self.replayed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters."""

    reason: str | None = None
    """How the reason begins."""
    topic: str | None = None
    """The whole name of the topic that the record was read from."""
    since: datetime | None = None
    places: frozenset[Place] | None = None
    limit: int | None = None
    """At most so many, the newest of them."""

    def passes(self, letter: Letter) -> bool:
        """Whether this letter is one of them."""
        return (
            (self.places is None or letter.place in self.places)
            and (self.reason is None or letter.reason.startswith(self.reason))
            and (self.topic is None or letter.origin == self.topic)
            and (self.since is None or letter.at is None or letter.at >= self.since)
        )


def select(records: Iterable[RawRecord], wanted: LetterFilter) -> list[Letter]:
    """The wanted letters among the records of the dead-letter topic, oldest first.

    Raises:
        ConfigurationError: A letter was asked for by name, and there is none.
    """
    found: dict[Place, Letter] = {}
    again: set[str] = set()
    for record in records:
        if REPLAYED in record.headers:
            again.add(record.headers[REPLAYED].decode("ascii", "replace"))
        elif "origin-topic" in record.headers:
            letter = _letter(record)
            if wanted.passes(letter):
                found[letter.place] = letter
    missing = sorted((wanted.places or frozenset()) - found.keys())
    if missing:
        raise ConfigurationError(f"no such letter: {', '.join(map(str, missing))}")
    letters = sorted(found.values(), key=lambda each: (each.at is None, each.at, each.place))
    marked = [_marked(letter, again) for letter in letters]
    return marked[-wanted.limit :] if wanted.limit is not None else marked


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it was before it became a letter, with a header that says where it was."""

    topic: str
    key: str | None
    value: bytes | None
    headers: Headers


def original_of(record: RawRecord, cipher: Cipher) -> Original:
    """Open a letter.

    Raises:
        ConfigurationError: None of the keys opens it.
        ValueError: The record is no letter.
    """
    letter = read_dead_letter(record, cipher)
    kept = {name: value for name, value in record.headers.items() if name not in ADDED_HEADERS}
    name = str(Place(record.partition, record.offset)).encode()
    return Original(letter.origin.topic, record.key, letter.value, {**kept, REPLAY: name})


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that an operator means: `30m`, `2h`, `1d` ago, or ISO 8601 with a time zone.

    Raises:
        ConfigurationError: It is neither.
    """
    match = _AGE.fullmatch(text)
    if match is not None:
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--since takes 30m, 2h, 1d or ISO 8601, not {text!r}") from error
    if moment.tzinfo is None:
        raise ConfigurationError(f"--since {text}: the time zone is missing")
    return moment


def _letter(record: RawRecord) -> Letter:
    return Letter(
        place=Place(record.partition, record.offset),
        at=record.timestamp,
        key=record.key,
        headers={key: value.decode("utf-8", "replace") for key, value in record.headers.items()},
    )


def _marked(letter: Letter, again: set[str]) -> Letter:
    replayed = str(letter.place) in again
    return Letter(
        place=letter.place, at=letter.at, key=letter.key, headers=letter.headers, replayed=replayed
    )
