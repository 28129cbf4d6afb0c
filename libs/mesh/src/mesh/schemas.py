"""The Avro schemas of `schemas/`, composed into one value schema per topic."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mesh.errors import ConfigurationError
from mesh.topics import TopicSpec

NAMESPACE = "sightline"
Schema = Mapping[str, Any]


class SchemaLibrary:
    """Reads `<Name>.avsc` files and writes each named type out in full where it is first used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def packaged(cls) -> "SchemaLibrary":
        """The schemas that belong to this version of the code.

        They lie in the folder `schemas/` beside the one that holds the code or its environment.

        Raises:
            ConfigurationError: no such folder is there.
        """
        for parent in Path(__file__).resolve().parents:
            if (parent / "schemas" / "FrameCaptured.avsc").is_file():
                return cls(parent / "schemas")
        raise ConfigurationError("the Avro schemas are missing: no folder schemas/ above the code")

    @cached_property
    def definitions(self) -> Mapping[str, Schema]:
        """Every named type by its short name, as written in its file."""
        return {
            item.name.removesuffix(".avsc"): json.loads(item.read_text(encoding="utf-8"))
            for item in self._folder.iterdir()
            if item.name.endswith(".avsc")
        }

    def record(self, name: str) -> Schema:
        """The self-contained schema of one record.

        Raises:
            KeyError: there is no such file.
        """
        return _compose([self.definitions[name]], self.definitions)[0]

    def value_schema(self, spec: TopicSpec) -> Schema | Sequence[Schema] | None:
        """The value schema of a topic: a record, a union, or nothing for opaque bytes."""
        if not spec.records:
            return None
        roots = [self.definitions[record.__name__] for record in spec.records]
        composed = _compose(roots, self.definitions)
        return composed if len(composed) > 1 else composed[0]


def _compose(roots: Sequence[Schema], definitions: Mapping[str, Schema]) -> list[Schema]:
    seen: set[str] = set()
    return [_inline(root, definitions, seen) for root in roots]


def _inline(node: Any, definitions: Mapping[str, Schema], seen: set[str]) -> Any:
    if isinstance(node, str) and node.startswith(f"{NAMESPACE}."):
        name = node.removeprefix(f"{NAMESPACE}.")
        return node if name in seen else _inline(definitions[name], definitions, seen)
    if isinstance(node, list):
        return [_inline(item, definitions, seen) for item in node]
    if isinstance(node, dict):
        if node.get("type") in ("record", "enum"):
            seen.add(node["name"])
        return {key: _inline_value(key, item, definitions, seen) for key, item in node.items()}
    return node


def _inline_value(key: str, item: Any, definitions: Mapping[str, Schema], seen: set[str]) -> Any:
    return (
        _inline(item, definitions, seen) if key in {"type", "items", "values", "fields"} else item
    )
