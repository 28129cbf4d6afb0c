"""A model behind a fallback chain, as if it were one model."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from inference.chain import Chain

Info = TypeVar("Info")
Info_co = TypeVar("Info_co", covariant=True)
Out = TypeVar("Out")


class Model(Protocol[Info_co]):
    """What every model can be asked."""

    @property
    def info(self) -> Info_co:
        """The model that runs: a dataclass with a field `fallback_used`."""

    def warm_up(self) -> None:
        """Run once."""


Tool = TypeVar("Tool", bound=Model[Any])


class Chained(Generic[Tool, Info]):
    """Asks the links of a chain; safe to call from several threads.

    What a model is for is a method of a subclass, by `_ask`.
    """

    def __init__(self, chain: Chain[Tool], prefer: Callable[[], str | None] = lambda: None) -> None:
        """Take the links, and which device is to be asked first; see `Placing.preferred`."""
        self._chain = chain
        self._prefer = prefer
        self._answered = threading.local()

    @property
    def info(self) -> Info:
        """What answered this thread's last call; before the first what would answer it."""
        info: Info | None = getattr(self._answered, "info", None)
        return info or self.serving()

    def serving(self) -> Info:
        """What would answer now."""
        info: Info = self._chain.serving.info
        return info

    def state(self) -> str:
        """available, degraded or failed."""
        return self._chain.state

    def warm_up(self) -> None:
        """Run every link until it is warm."""
        self._chain.warm_up()

    def _ask(self, use: Callable[[Tool], Out]) -> Out:
        """What the first link says that answers; see `Chain.run`."""
        answer = self._chain.run(use, prefer=self._prefer())
        info = answer.tool.info
        self._answered.info = replace(info, fallback_used=True) if answer.stood_in else info
        return answer.value
