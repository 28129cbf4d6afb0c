"""`mesh models`: what there is, and how it comes here, stays right, and goes elsewhere."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh.errors import ConfigurationError
from mesh.models import (
    AlteredFileError,
    MissingFileError,
    ModelRegistry,
    ModelSpec,
    ModelStore,
    choose_pack,
    mirror,
    open_registry,
    open_store,
)
from mesh.settings import ModelSettings, load

_COLUMNS = ("id", "task", "licence", "commercial", "state", "bytes")


def add_models(commands: Any) -> None:
    """Add the commands to a parser."""
    models = commands.add_parser("models", help="model packs").add_subparsers(required=True)
    models.add_parser("list", help="what is known and at hand").set_defaults(run=_list)
    models.add_parser("choose", help="fetch the first pack to be had").set_defaults(run=_choose)

    pull = models.add_parser("pull", help="download what is missing, resuming")
    pull.add_argument("names", nargs="*", metavar="name", help="packs or models; else your pack")
    pull.set_defaults(run=_pull)

    verify = models.add_parser("verify", help="hash what is at hand; code 1 if anything is wrong")
    verify.add_argument("names", nargs="*", metavar="name", help="packs or models; else all")
    verify.set_defaults(run=_verify)

    copy = models.add_parser("mirror", help="copy a pack into a folder for SIGHTLINE_MODELS_DIR")
    copy.add_argument("folder", type=Path)
    copy.add_argument("names", nargs="*", metavar="name", help="packs or models; else your pack")
    copy.set_defaults(run=_mirror)


def _open() -> tuple[ModelRegistry, ModelStore, str]:
    settings = load(ModelSettings)
    return open_registry(settings), open_store(settings), settings.model_pack


def _list(_: argparse.Namespace) -> None:
    registry, store, chosen = _open()
    rows = [_COLUMNS, *(_row(model, store) for model in registry.models.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _say("  ".join(cells).rstrip())
    for pack in registry.packs.values():
        mark = "*" if pack.name == chosen else " "
        needed = " + ".join(model.model_id for model in pack.models)
        further = ", ".join(model.model_id for model in pack.optional)
        _say(f"{mark} pack {pack.name}: {needed}; where at hand: {further or 'nothing more'}")


def _row(model: ModelSpec, store: ModelStore) -> tuple[str, ...]:
    return (
        model.model_id,
        model.task,
        model.licence,
        "yes" if model.commercial else "no",
        _state(model, store),
        str(model.bytes or "?"),
    )


def _state(model: ModelSpec, store: ModelStore) -> str:
    try:
        store.files(model)
    except MissingFileError:
        return "missing"
    except AlteredFileError:
        return "ALTERED"
    return "at hand" if store.has(model) else f"at hand; accept {model.accept}"


def _choose(_: argparse.Namespace) -> None:
    registry, store, _pack = _open()
    _say(choose_pack(registry, store, _tell).name)


def _pull(args: argparse.Namespace) -> None:
    registry, store, chosen = _open()
    for model in _models(registry, args.names or [chosen]):
        store.fetch(model, _tell)
        for name, place in store.locate(model).items():
            _say(f"{model.model_id}: {name} is at {place}")


def _verify(args: argparse.Namespace) -> None:
    """What was named, or what the pack in force needs, must be there; the rest must be right."""
    registry, store, chosen = _open()
    named = _models(registry, args.names)
    needed = named or registry.pack(chosen).models
    problems = []
    for model in named or registry.models.values():
        try:
            for name, place in store.files(model).items():
                _say(f"{model.model_id}: {name} is right, {store.sha256(place)}, {place}")
        except MissingFileError as error:
            problems += [str(error)] if model in needed else []
        except AlteredFileError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("; ".join(problems))


def _mirror(args: argparse.Namespace) -> None:
    registry, store, chosen = _open()
    for model in _models(registry, args.names or [chosen]):
        store.fetch(model, _tell)
        for place in mirror(store, model, args.folder):
            _say(f"{model.model_id}: {place}")


def _models(registry: ModelRegistry, names: Sequence[str]) -> Sequence[ModelSpec]:
    """The models of packs, with the optional ones, and of models that are named; each once."""
    found: dict[str, ModelSpec] = {}
    for name in names:
        pack = registry.packs.get(name)
        models = (*pack.models, *pack.optional) if pack else (registry.model(name),)
        found |= {model.model_id: model for model in models}
    return list(found.values())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
