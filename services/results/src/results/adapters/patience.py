"""How long a client is kept waiting, whatever is away."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from results.domain.errors import away

P = ParamSpec("P")
T = TypeVar("T")


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
