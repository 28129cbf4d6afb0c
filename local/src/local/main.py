"""`sightline-local`: runs the embedded platform; what the Makefile's targets call."""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from local.demo import Demo, Wish, summary
from local.doctor import examine
from local.jars import provide, resolve
from local.layout import Layout
from local.running import AlreadyRunningError, owned, owner, stop_owner
from local.settings import LocalSettings
from local.stopping import interrupt_once
from local.supervisor import recorded
from mesh.errors import MeshError

_DISPOSABLE = ("data", "log", "run", "demo.json", "secrets.env")


def say(line: str) -> None:
    """Writes a line for the person at the terminal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Runs one command; failures with a known meaning are told without a traceback."""
    arguments = _arguments(sys.argv[1:])
    try:
        settings = LocalSettings.load()
        command: Callable[[LocalSettings, argparse.Namespace], int] = arguments.run
        return command(settings, arguments)
    except KeyboardInterrupt:
        return 130
    except (MeshError, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sightline-local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    demo = commands.add_parser("demo", help="start the demo and stay until Ctrl-C")
    demo.add_argument("--video", type=Path, help="a clip of your own instead of the sample")
    demo.add_argument("--camera", help="rtsp://user:password@host/path of your own camera")
    demo.add_argument("--detach", action="store_true", help="return once it runs")
    demo.set_defaults(run=_demo)
    for name, text, run in (
        ("stop", "stop the running demo", _stop),
        ("clean", "stop the demo and forget its data; downloads stay", _clean),
        ("status", "show what runs", _status),
        ("doctor", "check this machine and say what to do", _doctor),
        ("fetch", "download what the platform runs from", _fetch),
        ("lock", "resolve the jars anew and print the lock", _lock),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    return parser.parse_args(words)


def _demo(settings: LocalSettings, arguments: argparse.Namespace) -> int:
    layout = Layout.at(settings.var)
    if arguments.detach:
        return _detached(layout)
    interrupt_once()
    try:
        with owned(layout):
            layout.demo.unlink(missing_ok=True)
            return _run(settings, Wish(video=arguments.video, camera=arguments.camera), layout)
    except AlreadyRunningError:
        for line in summary(layout) or ["It is being started or stopped at this moment."]:
            say(line)
        return 0


def _run(settings: LocalSettings, wish: Wish, layout: Layout) -> int:
    demo = Demo(settings, wish, say)
    try:
        demo.start()
        for line in (*summary(layout), "Ctrl-C stops it."):
            say(line)
        threading.Event().wait()
    except KeyboardInterrupt:
        say("Stopping")
    finally:
        layout.demo.unlink(missing_ok=True)
        demo.installation.stop()
    say("Stopped. `make demo` starts it again with its data; `make clean-demo` forgets them.")
    return 0


def _detached(layout: Layout) -> int:
    if owner(layout) is None:
        layout.create()
        log = layout.log / "demo.log"
        words = [word for word in sys.argv[1:] if word != "--detach"]
        with log.open("w") as stream:
            child = subprocess.Popen(
                [sys.executable, "-m", "local.main", *words],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        if not _follow(log, child, layout):
            return child.wait()
    for line in (*summary(layout), "`make stop-demo` stops it."):
        say(line)
    return 0


def _follow(log: Path, child: "subprocess.Popen[bytes]", layout: Layout) -> bool:
    with log.open() as stream:
        while not layout.demo.exists():
            for line in stream:
                say(line.rstrip("\n"))
            if child.poll() is not None:
                return False
            time.sleep(0.2)
    # It outlives this process on purpose.
    child.returncode = 0
    return True


def _stop(settings: LocalSettings, _arguments: argparse.Namespace) -> int:
    say("Stopped." if stop_owner(Layout.at(settings.var)) else "Nothing runs.")
    return 0


def _clean(settings: LocalSettings, _arguments: argparse.Namespace) -> int:
    layout = Layout.at(settings.var)
    stop_owner(layout)
    for name in _DISPOSABLE:
        path = layout.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    say(f"Removed data, logs and keys in {layout.root}; downloads stay in {layout.cache}.")
    return 0


def _status(settings: LocalSettings, _arguments: argparse.Namespace) -> int:
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


def _doctor(settings: LocalSettings, _arguments: argparse.Namespace) -> int:
    findings = examine(Layout.at(settings.var), settings.gateway_port, os.environ)
    for finding in findings:
        say(finding.line())
    return 1 if any(finding.blocks for finding in findings) else 0


def _fetch(settings: LocalSettings, _arguments: argparse.Namespace) -> int:
    provide(Layout.at(settings.var).cache, report=say)
    return 0


def _lock(settings: LocalSettings, _arguments: argparse.Namespace) -> int:
    for pin in resolve(Layout.at(settings.var).cache / "resolve"):
        say(pin.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
