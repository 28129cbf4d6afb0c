"""The commands of `sightline-local`, each with its exit code."""

import os
import shutil
import subprocess
import sys
import threading
import time
from itertools import takewhile
from pathlib import Path

from local.demo import Demo, summary
from local.doctor import examine
from local.jars import provide, resolve
from local.layout import Layout
from local.logfile import open_log
from local.packs import demo_pack, describe
from local.running import AlreadyRunningError, owned, owner, stop_owner
from local.settings import LocalSettings
from local.stopping import interrupt_once
from local.supervisor import recorded

_DISPOSABLE = ("data", "log", "run", "demo.json", "secrets.env")
_STARTED = "Started in"
"""How the line begins that a demo says once it runs."""


def say(line: str) -> None:
    """Writes a line for the person at the terminal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def demo(settings: LocalSettings) -> int:
    """Starts the demo and stays until Ctrl-C; where it runs already, says where."""
    layout = Layout.at(settings.var)
    interrupt_once()
    try:
        with owned(layout):
            layout.demo.unlink(missing_ok=True)
            return _run(settings, layout)
    except AlreadyRunningError:
        for line in summary(layout) or ["It is being started or stopped at this moment."]:
            say(line)
        return 0


def _run(settings: LocalSettings, layout: Layout) -> int:
    began = time.monotonic()
    running = Demo(settings, say)
    try:
        running.start()
        say(f"{_STARTED} {time.monotonic() - began:.0f} s.")
        for line in (*summary(layout), "Ctrl-C stops it."):
            say(line)
        threading.Event().wait()
    except KeyboardInterrupt:
        say("Stopping")
    finally:
        layout.demo.unlink(missing_ok=True)
        running.installation.stop()
    say("Stopped. `make demo` starts it again with its data; `make clean-demo` forgets them.")
    return 0


def demo_detached(settings: LocalSettings) -> int:
    """Starts the demo in the background and returns once it runs."""
    layout = Layout.at(settings.var)
    if owner(layout) is None and not _start_detached(layout):
        return 1
    for line in (*summary(layout), "`make stop-demo` stops it."):
        say(line)
    return 0


def _start_detached(layout: Layout) -> bool:
    layout.create()
    layout.demo.unlink(missing_ok=True)
    log = layout.log / "demo.log"
    words = [word for word in sys.argv[1:] if word != "--detach"]
    log.unlink(missing_ok=True)
    # The demo prints its token.
    with open_log(log) as stream:
        child = subprocess.Popen(
            [sys.executable, "-m", "local.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _follow(log, child, layout)


def _follow(log: Path, child: "subprocess.Popen[bytes]", layout: Layout) -> bool:
    """Shows what a start says until it is over; whether the demo runs."""
    ended = runs = False
    with log.open() as stream:
        while not (ended or runs):
            ended = child.poll() is not None
            runs = layout.demo.exists()
            for line in takewhile(lambda line: not line.startswith(_STARTED), stream):
                say(line.rstrip("\n"))
            if not (ended or runs):
                time.sleep(0.2)
    if runs:
        # It outlives this process on purpose.
        child.returncode = 0
    return runs


def stop(settings: LocalSettings) -> int:
    """Stops the running demo."""
    say("Stopped." if stop_owner(Layout.at(settings.var)) else "Nothing runs.")
    return 0


def clean(settings: LocalSettings) -> int:
    """Stops the demo and forgets its data, logs and keys; downloads stay."""
    layout = Layout.at(settings.var)
    stop_owner(layout)
    for name in _DISPOSABLE:
        path = layout.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    say(f"Removed data, logs and keys in {layout.root}; downloads stay in {layout.cache}.")
    return 0


def status(settings: LocalSettings) -> int:
    """Shows every process and where the page is; 1 if nothing runs."""
    layout = Layout.at(settings.var)
    if owner(layout) is None:
        say("Nothing runs.")
        return 1
    for entry in recorded(layout.run / "processes.json"):
        say(
            f"{entry['name']:16} {entry['phase']:11} pid {entry['pid'] or '-':<8} "
            f"restarts {entry['restarts']:<3} {entry['reason']}"
        )
    for line in summary(layout):
        say(line)
    return 0


def doctor(settings: LocalSettings) -> int:
    """Checks this machine; 1 if the demo cannot run on it as it is."""
    findings = examine(Layout.at(settings.var), settings.gateway_port, os.environ)
    for finding in findings:
        say(finding.line())
    return 1 if any(finding.blocks for finding in findings) else 0


def fetch(settings: LocalSettings) -> int:
    """Downloads jars and models, so that what follows needs no network."""
    cache = Layout.at(settings.var).cache
    provide(cache, report=say)
    store = settings.store(cache / "models")
    pack = demo_pack(
        wanted=settings.model_pack,
        enrolled=None,
        registry=settings.registry,
        store=store,
        report=say,
    )
    for line in describe(pack, store):
        say(f"  {line}")
    return 0


def lock(settings: LocalSettings) -> int:
    """Resolves the jars anew and prints the lock."""
    say("# Written by `sightline-local lock`: use, path in a Maven repository, sha256, bytes.")
    for pin in resolve(Layout.at(settings.var).cache / "resolve"):
        say(pin.line())
    return 0
