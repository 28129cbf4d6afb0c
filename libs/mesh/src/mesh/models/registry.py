"""The registry: which models and packs there are, from our file and from the user's."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Self

from mesh.errors import ConfigurationError
from mesh.models.reading import read_model, read_pack
from mesh.models.spec import ModelSpec, Pack
from mesh.models.table import Table

_PACKAGED = "models.toml"
_SECTIONS = ("models", "packs")
_DEFAULTS = "pack_defaults"
"""Fields of every pack that does not give its own."""

Raw = dict[str, dict[str, Any]]


class ModelRegistry:
    """The models and packs of `models.toml`, and those of a registry file of the user's own."""

    def __init__(self, models: Mapping[str, ModelSpec], packs: Mapping[str, Pack]) -> None:
        self.models = models
        self.packs = packs

    @classmethod
    def load(cls, own: Path | None = None) -> Self:
        """Read the registry file that this version of the code ships.

        Args:
            own: A second file, laid over the first: a table that both have keeps the fields
                that the second does not give.

        Raises:
            ConfigurationError: the second file cannot be read, or something in it is wrong;
                the message names file, table and field.
        """
        text = (resources.files("mesh") / _PACKAGED).read_text(encoding="utf-8")
        raw, added = tomllib.loads(text), _own(own) if own else {}
        tables = {section: _tables(section, raw, added, own) for section in _SECTIONS}
        models = {key: read_model(key, table) for key, table in tables["models"].items()}
        packs = {key: read_pack(key, table, models) for key, table in tables["packs"].items()}
        return cls(models, packs)

    def pack(self, name: str) -> Pack:
        """The pack of this name.

        Raises:
            ConfigurationError: there is none; the message lists the names.
        """
        try:
            return self.packs[name]
        except KeyError:
            known = ", ".join(self.packs)
            raise ConfigurationError(f"SIGHTLINE_MODEL_PACK: {name} is none of {known}") from None

    def pack_of(self, model: ModelSpec, named: str) -> str:
        """The name of the pack that a model comes with; empty if none has it.

        Args:
            model: detector or embedder.
            named: pack that is asked first.

        Raises:
            ConfigurationError: there is no pack of that name.
        """
        asked = (self.pack(named), *self.packs.values())
        ids = {pack.name: {one.model_id for one in pack.models} for pack in asked}
        return next((name for name, found in ids.items() if model.model_id in found), "")

    def model(self, model_id: str) -> ModelSpec:
        """The model of this identifier.

        Raises:
            ConfigurationError: there is none; the message lists what there is.
        """
        try:
            return self.models[model_id]
        except KeyError:
            known = ", ".join(self.models)
            raise ConfigurationError(f"there is no model {model_id}, only {known}") from None


def _own(path: Path) -> Raw:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"SIGHTLINE_MODEL_REGISTRY: {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    for section, value in raw.items():
        if section not in _SECTIONS or not isinstance(value, dict):
            raise ConfigurationError(f"{path}: {section} is neither [models.…] nor [packs.…]")
    return raw


def _tables(section: str, ours: Raw, added: Raw, own: Path | None) -> dict[str, Table]:
    """The tables of a section by name: the user's laid over ours, each with where it is from."""
    known, fresh = ours[section], added.get(section, {})
    defaults = ours[_DEFAULTS] if section == "packs" else {}
    tables = {}
    for key in {**known, **fresh}:
        source = str(own) if key in fresh else _PACKAGED
        value = fresh.get(key, {})
        if not isinstance(value, dict):
            raise ConfigurationError(f"{source}: {section}.{key} must be a table")
        tables[key] = Table(source, f"{section}.{key}", {**defaults, **known.get(key, {}), **value})
    return tables
