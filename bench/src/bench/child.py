"""A process that is told lines and answers with lines."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from mesh.errors import ConfigurationError


class Child:
    """The process; a context manager, which kills it at the end.

    Args:
        arguments: of the Python that runs this.
        environment: besides this process's own.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._arguments = arguments
        self._environment = os.environ | dict(environment or {})

    def __enter__(self) -> Self:
        """Starts it."""
        self._process = subprocess.Popen(
            [sys.executable, *self._arguments],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()

    def tell(self, line: str) -> None:
        """Give it a line; nothing happens if it has ended, since then there is no answer either."""
        if self._process.stdin is None:
            raise RuntimeError("the process has no pipes")
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def answer(self) -> str:
        """Its next line; blocks.

        Raises:
            ConfigurationError: the process has ended; what it wrote to stderr says why.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise ConfigurationError(f"{' '.join(self._arguments)} ended without an answer")
        return line
