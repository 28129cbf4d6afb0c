"""Moments as the interface writes and reads them: ISO 8601, UTC."""

from datetime import UTC, datetime
from typing import overload


@overload
def iso(moment: datetime) -> str: ...
@overload
def iso(moment: None) -> None: ...
@overload
def iso(moment: datetime | None) -> str | None: ...
def iso(moment: datetime | None) -> str | None:
    """The moment in UTC to the millisecond, such as `2025-11-06T12:45:23.123Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The moment that an ISO 8601 text with a time zone names, in UTC.

    Raises:
        ValueError: The text is no ISO 8601 date and time, lacks its time zone, or lies outside
            the years 1970 to 2200.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError("the time zone is missing")
    moment = moment.astimezone(UTC)
    if not 1970 <= moment.year <= 2200:
        raise ValueError("the year lies outside 1970 to 2200")
    return moment


def milliseconds(start: datetime, end: datetime) -> int:
    """From start to end, never negative."""
    return max(0, round((end - start).total_seconds() * 1000))
