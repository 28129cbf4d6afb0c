"""Ages as groups: an estimate is off by seven years on average, so no single year is told."""

GROUPS = (
    *("0-2", "3-9", "10-14", "15-24", "25-34", "35-44", "45-54", "55-64"),
    "65+",
)
_FROM = (0, 3, 10, 15, 25, 35, 45, 55, 65)


def age_group(years: float) -> str:
    """The group that an age falls into.

    Args:
        years: below 0 counts as 0.
    """
    return next(
        group
        for group, first in zip(reversed(GROUPS), reversed(_FROM), strict=True)
        if years >= first or first == 0
    )
