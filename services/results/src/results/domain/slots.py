"""From which slots the figures since a moment are added up: whole days where there are any."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from results.domain.statistics import HOUR

DAY = timedelta(days=1)
"""A day of UTC, rolled up from its hours once it is over."""
WHOLE_DAYS = 8
"""More than any period has."""


class Part(NamedTuple):
    """A part of a period."""

    starts: datetime
    ends: datetime | None
    """Where the next part starts; the last one has no end."""
    day: bool
    """True for a whole day, which has one slot instead of 24 if it was rolled up."""


def day_of(moment: datetime) -> datetime:
    """When the day of this moment began, UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def parts_of(since: datetime, span: timedelta) -> list[Part]:
    """What lies after a moment, cut at midnight: every slot lies in exactly one part.

    Args:
        since: Start of a slot, UTC.
        span: Length of the slots; only hours are rolled up into days.
    """
    if span != HOUR:
        return [Part(since, None, day=False)]
    first = day_of(since + DAY - timedelta(microseconds=1))
    midnights = [first + number * DAY for number in range(WHOLE_DAYS + 1)]
    begun = [Part(since, first, day=False)] if since < first else []
    whole = [Part(starts, ends, day=True) for starts, ends in pairwise(midnights)]
    return [*begun, *whole, Part(midnights[-1], None, day=False)]
