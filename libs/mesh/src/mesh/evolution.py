"""Checks that the schemas may replace those of the last release."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityResult,
    SchemaCompatibilityType,
)
from avro.schema import parse

from mesh.errors import ConfigurationError
from mesh.schemas import SchemaLibrary
from mesh.topics import CATALOGUE


def check_against_tag(library: SchemaLibrary, revision: str | None = None) -> Iterator[str]:
    """Compare every topic's schema with a revision's, the last tag's by default.

    Yields a line of good news per topic. Before the first tag there is nothing to keep.

    Raises:
        ConfigurationError: a schema is malformed, undocumented or incompatible; names all.
    """
    problems = list(_flaws(library))
    revision = revision or _last_tag()
    if revision is None:
        yield "no tag yet: schemas may change freely"
    else:
        with TemporaryDirectory() as folder:
            released = _at(revision, Path(folder))
            problems += list(_incompatible(library, released))
        yield f"compared with {revision}"
    if problems:
        raise ConfigurationError("schemas: " + "; ".join(problems))
    yield f"{len(library.definitions)} types, {len(CATALOGUE)} topics: in order"


def _flaws(library: SchemaLibrary) -> Iterator[str]:
    for name, schema in sorted(library.definitions.items()):
        if not schema.get("doc"):
            yield f"{name} has no doc"
        for field in schema.get("fields", ()):
            if not field.get("doc"):
                yield f"{name}.{field['name']} has no doc"
    for spec in CATALOGUE:
        for record in spec.records:
            parse(json.dumps(library.record(record.__name__)))


def _incompatible(library: SchemaLibrary, released: SchemaLibrary) -> Iterator[str]:
    for spec in CATALOGUE:
        for record in spec.records:
            name = record.__name__
            if name not in released.definitions:
                continue
            new, old = library.record(name), released.record(name)
            yield from (f"{spec.name}: new {reason}" for reason in _reads(new, old))
            if spec.public:
                yield from (f"{spec.name}: old {reason}" for reason in _reads(old, new))


def _reads(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> list[str]:
    """Why records of the writer's schema cannot be read with the reader's; empty if they can."""
    result: SchemaCompatibilityResult = ReaderWriterCompatibilityChecker().get_compatibility(
        parse(json.dumps(reader)), parse(json.dumps(writer))
    )
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [
        f"{reader['name']} cannot read {writer['name']}: {message}"
        for message in sorted(result.messages)
    ]


def _last_tag() -> str | None:
    found = _git("describe", "--tags", "--abbrev=0")
    return found.stdout.strip() or None


def _at(revision: str, folder: Path) -> SchemaLibrary:
    listing = _git("ls-tree", "--full-tree", "--name-only", revision, "schemas/")
    if listing.returncode or not listing.stdout:
        raise ConfigurationError(f"{revision} has no schemas/: {listing.stderr.strip()}")
    for name in listing.stdout.split():
        if name.endswith(".avsc"):
            (folder / Path(name).name).write_text(_git("show", f"{revision}:{name}").stdout)
    return SchemaLibrary(folder)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parent
    return subprocess.run(
        ["git", "-C", str(root), *arguments],  # noqa: S607 -- git by PATH, as developers have it
        capture_output=True,
        text=True,
        check=False,
    )
