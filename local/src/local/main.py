"""`sightline-local`: runs the embedded platform; what the Makefile's targets call."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from local import commands
from local.settings import LocalSettings
from mesh.errors import MeshError

_COMMANDS: tuple[tuple[str, str, Callable[[LocalSettings], int]], ...] = (
    ("stop", "stop the running demo", commands.stop),
    ("clean", "stop the demo and forget its data; downloads stay", commands.clean),
    ("status", "show what runs", commands.status),
    ("doctor", "check this machine and say what to do", commands.doctor),
    ("fetch", "download what the platform runs from", commands.fetch),
    ("lock", "resolve the jars anew and print the lock", commands.lock),
)


def main() -> int:
    """Runs one command; failures with a known meaning are told without a traceback."""
    arguments = _arguments(sys.argv[1:])
    try:
        command: Callable[[LocalSettings], int] = arguments.command
        return command(_settings(arguments))
    except KeyboardInterrupt:
        return 130
    except (MeshError, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sightline-local", description=__doc__)
    parser.set_defaults(video=None, camera=None)
    names = parser.add_subparsers(required=True)
    demo = names.add_parser("demo", help="start the demo and stay until Ctrl-C")
    demo.add_argument("--video", type=Path, help="a clip of your own instead of the sample")
    demo.add_argument("--camera", help="rtsp://user:password@host/path of your own camera")
    demo.add_argument(
        "--detach",
        dest="command",
        action="store_const",
        const=commands.demo_detached,
        help="return once it runs",
    )
    demo.set_defaults(command=commands.demo)
    for name, text, command in _COMMANDS:
        names.add_parser(name, help=text).set_defaults(command=command)
    return parser.parse_args(words)


def _settings(arguments: argparse.Namespace) -> LocalSettings:
    settings = LocalSettings.load()
    given = {"demo_video": arguments.video, "demo_camera": arguments.camera}
    update = {name: value for name, value in given.items() if value is not None}
    return LocalSettings.model_validate(settings.model_dump() | update) if update else settings


if __name__ == "__main__":
    sys.exit(main())
