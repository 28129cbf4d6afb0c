"""How long a client is kept waiting, whatever is away."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mesh.errors import TransientError
from mesh.logs import get_logger
from results.domain.errors import ApiError, away

P = ParamSpec("P")
T = TypeVar("T")
_TIDY_SECONDS = 1.0
_log = get_logger("requests")


class Patience:
    """The time that is left of a request; it begins when this is made."""

    def __init__(self, monotonic: Callable[[], float], seconds: float) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, never below zero."""
        return max(0.0, self._end - self._monotonic())

    async def blocking(
        self, dependency: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work that blocks on a dependency in a thread, as long as there is time.

        Raises:
            ApiError: 503; the dependency did not answer in time.
        """
        try:
            return await asyncio.wait_for(asyncio.to_thread(work, *args, **kwargs), self.left)
        except TimeoutError as error:
            raise away(dependency, "it did not answer in the request's time") from error


async def tidily(
    monotonic: Callable[[], float],
    event: str,
    work: Callable[P, object],
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    """Do what the client's answer does not depend on; a database that is away is logged."""
    try:
        await Patience(monotonic, _TIDY_SECONDS).blocking("database", work, *args, **kwargs)
    except (ApiError, TransientError) as error:
        _log.warning(event, message=str(error))
