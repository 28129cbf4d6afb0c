"""`mesh deadletters`: what was given up, and how it comes back."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mesh.clock import SystemClock
from mesh.crypto import Cipher
from mesh.errors import ConfigurationError
from mesh.kafka.letters import LetterBox
from mesh.letters import Letter, LetterFilter, Place, moment_of
from mesh.logs import configure_logs
from mesh.settings import MeshSettings

_LIST_LIMIT = 100


def add_letters(commands: Any) -> None:
    """Add the commands to a parser."""
    letters = commands.add_parser("deadletters", help="records that were given up")
    actions = letters.add_subparsers(required=True)

    listing = actions.add_parser("list", help="one line of JSON each, oldest first")
    _add_filter(listing)
    listing.add_argument("--limit", type=_positive, default=_LIST_LIMIT, help="the newest so many")
    listing.set_defaults(run=_list)

    showing = actions.add_parser("show", help="one letter, opened")
    showing.add_argument("letter", help="partition:offset")
    showing.add_argument("--output", type=Path, help="write the original bytes to this new file")
    showing.set_defaults(run=_show)

    again = actions.add_parser("replay", help="publish originals to their topics again")
    again.add_argument("letters", nargs="*", metavar="letter", help="partition:offset")
    _add_filter(again)
    again.add_argument("--limit", type=_positive, help="the newest so many")
    again.add_argument("--all", action="store_true", help="every letter; no name, no filter")
    again.add_argument("--again", action="store_true", help="those too that were replayed before")
    again.add_argument("--dry-run", action="store_true", help="only say which")
    again.set_defaults(run=_replay)


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", help="how the reason begins, such as undecodable")
    parser.add_argument("--topic", help="where they came from, with or without the prefix")
    parser.add_argument("--since", help="30m, 2h, 1d, or ISO 8601")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _filter(args: argparse.Namespace, settings: MeshSettings) -> LetterFilter:
    names = getattr(args, "letters", [])
    topic = args.topic
    if topic is not None and not topic.startswith(settings.topic_prefix):
        topic = settings.topic_prefix + topic
    return LetterFilter(
        reason=args.reason,
        topic=topic,
        since=moment_of(args.since, SystemClock().now()) if args.since else None,
        places=frozenset(map(Place.parse, names)) if names else None,
        limit=args.limit,
    )


def _list(args: argparse.Namespace) -> None:
    settings = MeshSettings.load()
    _print(LetterBox(settings).letters(_filter(args, settings)))


def _show(args: argparse.Namespace) -> None:
    settings = MeshSettings.load()
    box, place = LetterBox(settings), Place.parse(args.letter)
    (letter,) = box.letters(LetterFilter(places=frozenset({place})))
    original = box.original(place, Cipher(settings.secret_key))
    size = None if original.value is None else len(original.value)
    shown = letter.render() | {"headers": dict(letter.headers), "bytes": size}
    _say(json.dumps(shown, indent=2))
    if args.output is not None:
        with args.output.open("xb") as file:
            file.write(original.value or b"")


def _replay(args: argparse.Namespace) -> None:
    settings = MeshSettings.load()
    wanted = _filter(args, settings)
    if not (wanted.places or wanted.reason or wanted.topic or wanted.since or args.all):
        raise ConfigurationError("name letters, give a filter, or say --all")
    configure_logs("mesh", settings, sys.stderr)
    box = LetterBox(settings)
    found = box.letters(wanted)
    due = [letter for letter in found if args.again or not letter.replayed]
    if len(due) < len(found):
        sys.stderr.write(f"{len(found) - len(due)} were replayed before; --again repeats\n")
    if args.dry_run:
        box.check_origins(due)
        _print(due)
    else:
        _print(box.replay(due, Cipher(settings.secret_key)))


def _print(letters: Iterable[Letter]) -> None:
    for letter in letters:
        _say(json.dumps(letter.render()))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
