"""Limits for what must not depend on how fast a machine is."""

import time
from collections.abc import Callable

import pytest

from camera.domain.life import ErrorCode
from camera.ports import SourceError

PATIENT = 60.0
"""Seconds that something may take which takes a moment at most on an idle machine."""
TIMEOUTS = (0.5, 2.0, 8.0, 32.0)
"""Time-outs of a camera whose time is to run out, seconds."""


def failure(
    code: ErrorCode,
    attempt: Callable[[float], object],
    timeouts: tuple[float, ...] = TIMEOUTS,
) -> tuple[SourceError, float]:
    """Why an attempt with the shortest time-out fails that is long enough to get so far.

    A busy machine may need a short time-out for what comes before, such as to connect: the error is
    another one then, and the next attempt gets more time.

    Args:
        code: What the failure is to be called.
        attempt: Fails with `SourceError`, given a time-out in seconds.
        timeouts: In order.

    Returns:
        The failure, of another code if no time-out was long enough, and its time-out.
    """
    for seconds in timeouts:
        with pytest.raises(SourceError) as caught:
            attempt(seconds)
        if caught.value.code is code:
            break
    return caught.value, seconds


def comes_true(condition: Callable[[], object]) -> bool:
    """Whether something is the case, sooner or later; asks again and again until it is."""
    end = time.monotonic() + PATIENT
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
