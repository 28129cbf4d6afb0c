"""Another model at run time: `SwitchModel` commands, the newest that can be carried out wins."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import wait
from typing import Protocol

from inference.threads import AbandonableThreads
from mesh.errors import TransientError
from mesh.events import SwitchModel
from mesh.record import Record

_LOOK_SECONDS = 0.5
_log = logging.getLogger(__name__)

Commit = Callable[[], None]
"""Puts a prepared model in the place of the one that serves; returns at once."""
Prepare = Callable[[str], Commit]
"""Loads and warms a model beside the one that serves. Raises ConfigurationError with the reason if
it cannot serve, TransientError if it may be tried again. Runs in a thread of its own."""


class SwitchNews(Protocol):
    """Is told what became of a command; see `ModelNews`."""

    def switched(self, command: SwitchModel, before: str) -> None:
        """It was carried out."""

    def refused(self, command: SwitchModel, serving: str, reason: str) -> None:
        """It cannot be carried out."""


class ModelSwitch:
    """Carries out the commands of one task; the topic is compacted, so they survive a restart.

    Every process reads all commands: `take` from the thread that follows the topic, `run` in a
    thread of its own, because loading takes long and must not delay a frame. Order is by the time
    of the request, not by offset: commands for different models lie in different partitions.
    """

    def __init__(self, *, task: str, serving: str, prepare: Prepare, news: SwitchNews) -> None:
        """Take what serves, and how another model is prepared.

        Args:
            task: commands for other tasks are none of its business.
            serving: model_id of the model that is loaded.
            prepare: loads another one.
            news: told what became of each command.
        """
        self._task = task
        self._prepare = prepare
        self._news = news
        self._serving = serving
        self._lock = threading.Lock()
        self._threads = AbandonableThreads(f"load-{task}")
        self._commands: dict[str, SwitchModel] = {}
        self._done: SwitchModel | None = None
        """The newest command that was looked at."""
        self._refused: set[SwitchModel] = set()

    @property
    def serving(self) -> str:
        """The model_id of what serves."""
        return self._serving

    def take(self, record: Record[SwitchModel | None]) -> None:
        """Note a command; a tombstone changes nothing."""
        command = record.event
        if command is None or command.task != self._task:
            return
        with self._lock:
            known = self._commands.get(command.model_id)
            if known is None or known.requested_at <= command.requested_at:
                self._commands[command.model_id] = command

    def settle(self, caught_up: threading.Event, stop: threading.Event) -> None:
        """At the start: wait for the commands of before, and carry out the newest that can be.

        Blocks while the broker is away.

        Args:
            caught_up: set once `take` has seen every earlier command.
            stop: ends the wait.
        """
        while not caught_up.wait(_LOOK_SECONDS):
            if stop.is_set():
                return
        while not stop.is_set():
            try:
                self.apply(stop)
            except TransientError as error:
                _log.warning("the model commands have to wait: %s", error)
                stop.wait(_LOOK_SECONDS)
            else:
                return

    def run(self, stop: threading.Event, warn: Callable[[str], None]) -> None:
        """Carry out commands as they come until `stop` is set; blocks.

        Args:
            stop: ends it.
            warn: told why a command has to wait; it is tried again.
        """
        while not stop.wait(_LOOK_SECONDS):
            try:
                self.apply(stop)
            except TransientError as error:
                warn(str(error))

    def apply(self, stop: threading.Event) -> None:
        """Carry out the newest command, or if it cannot be, the newest before that can be.

        Does nothing if no newer command came since the last time. Whatever goes wrong while a
        model is loaded refuses it: a command must not end the process, since it would come again
        after the restart.

        Args:
            stop: ends the wait for a model that is being loaded.

        Raises:
            TransientError: it could not be told whether it can be; it may be repeated.
        """
        with self._lock:
            commands = sorted(
                self._commands.values(), key=lambda one: (one.requested_at, one.model_id)
            )
        if not commands or commands[-1] == self._done:
            return
        earlier = self._done
        for command in reversed(commands):
            if command == earlier or self._carried_out(command, stop):
                break
        self._done = commands[-1]

    def _carried_out(self, command: SwitchModel, stop: threading.Event) -> bool:
        if command in self._refused:
            return False
        before = self._serving
        if command.model_id == before:
            return True
        loading = self._threads.start(lambda: self._prepare(command.model_id))
        while not loading.done():
            wait([loading], _LOOK_SECONDS)
            if stop.is_set():
                return True
        error = loading.exception()
        if isinstance(error, TransientError):
            raise error
        if error is not None:
            self._refused.add(command)
            self._news.refused(command, before, str(error) or type(error).__name__)
            return False
        loading.result()()
        self._serving = command.model_id
        self._news.switched(command, before)
        return True
