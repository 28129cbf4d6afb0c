"""When a picture was taken, as cameras write it beside the picture."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_HEADERS = ("x-timestamp", "x-capture-time", "x-sendtimestamp", "x-time", "timestamp", "date")
"""Best first: a date has whole seconds only."""
_EARLIEST = 1e9
"""A number below is no time of our days."""
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (_EARLIEST, 1.0))
"""From which number on it counts so many a second."""
_BOUNDARY = "--"


def moment_of(said: object) -> datetime | None:
    """The moment that a number or a text names; nothing if it names none.

    Numbers count seconds, milliseconds, microseconds or nanoseconds since 1970, whichever makes it
    our days; texts are such numbers, ISO 8601 (UTC unless they say otherwise) or dates of HTTP.
    """
    if isinstance(said, str):
        return _from_text(said.strip())
    if isinstance(said, int | float) and not isinstance(said, bool):
        return _from_number(said)
    return None


def moment_in(headers: Mapping[str, str]) -> datetime | None:
    """The moment that the headers of a picture name.

    Args:
        headers: By names in lower case.
    """
    said = (moment_of(headers[name]) for name in _HEADERS if name in headers)
    return next((moment for moment in said if moment is not None), None)


def part_headers(between: bytes) -> dict[str, str]:
    """The headers of the picture that begins here, by names in lower case.

    Args:
        between: What stood between the picture before and this one; only the lines after its last
            boundary and before the empty line count.
    """
    headers: dict[str, str] = {}
    inside = True
    for line in between.decode("latin-1").splitlines():
        if line.startswith(_BOUNDARY):
            headers, inside = {}, True
        elif not line.strip():
            inside = inside and not headers
        elif inside:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip().lower()] = value.strip()
    return headers


def _from_text(text: str) -> datetime | None:
    try:
        return _from_number(float(text))
    except ValueError:
        pass
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, OverflowError):
            continue
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return None


def _from_number(number: float) -> datetime | None:
    if not math.isfinite(number):
        return None
    unit = next((unit for least, unit in _UNITS if number >= least), None)
    try:
        return None if unit is None else datetime.fromtimestamp(number / unit, UTC)
    except (ValueError, OverflowError, OSError):
        return None
