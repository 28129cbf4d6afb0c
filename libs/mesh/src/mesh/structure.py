"""Frozen dataclasses to plain values that Avro writes, and back.

Converters are compiled once per class: which fields hold records, enums or collections of them is
known from the annotations, everything else passes through untouched.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from mesh.schemas import NAMESPACE

Convert = Callable[[Any], Any]


def unstructure(event: Any) -> dict[str, Any]:
    """An event as plain values."""
    cls: type = type(event)
    plain: dict[str, Any] = unstructurer(cls)(event)
    return plain


@cache
def unstructurer(cls: type) -> Convert:
    """Turns an instance of the class into a dict; nullable records are tagged with their name."""
    plan = [(name, _to_plain(kind)) for name, kind in _fields(cls)]
    plain = [name for name, convert in plan if convert is None]
    nested = [(name, convert) for name, convert in plan if convert is not None]

    def convert(event: Any) -> dict[str, Any]:
        out = {name: getattr(event, name) for name in plain}
        for name, inner in nested:
            out[name] = inner(getattr(event, name))
        return out

    return convert


@cache
def structurer(cls: type) -> Convert:
    """Turns a dict back into an instance of the class; unknown keys are ignored.

    Slots are filled directly, as the generated `__init__` of a frozen class does one by one, only
    without the detour over keywords: half the time. A dict that is not whole takes the detour,
    where defaults are.
    """
    plan = [(name, getattr(cls, name).__set__, _from_plain(kind)) for name, kind in _fields(cls)]
    plain = [(name, fill) for name, fill, inner in plan if inner is None]
    nested = [(name, fill, inner) for name, fill, inner in plan if inner is not None]
    names = {name for name, _, _ in plan}
    new: Callable[[type], Any] = object.__new__

    def convert(value: Mapping[str, Any]) -> Any:
        if not names <= value.keys():
            given = [(name, inner) for name, _, inner in plan if name in value]
            return cls(
                **{name: inner(value[name]) if inner else value[name] for name, inner in given}
            )
        made = new(cls)
        for name, fill in plain:
            fill(made, value[name])
        for name, fill, inner in nested:
            fill(made, inner(value[name]))
        return made

    return convert


def _fields(cls: type) -> list[tuple[str, Any]]:
    hints = get_type_hints(cls)
    return [(item.name, hints[item.name]) for item in fields(cls)]


def _optional(kind: Any) -> Any | None:
    if get_origin(kind) not in {Union, UnionType}:
        return None
    return next(arm for arm in get_args(kind) if arm is not NoneType)


def _to_plain(kind: Any) -> Convert | None:
    if (arm := _optional(kind)) is not None:
        inner = _to_plain(arm)
        if inner is not None and isinstance(arm, type):
            inner = _tagged(f"{NAMESPACE}.{arm.__name__}", inner)
        return _or_none(inner)
    if isinstance(kind, type) and is_dataclass(kind):
        return unstructurer(kind)
    if get_origin(kind) is tuple:
        inner = _to_plain(get_args(kind)[0])
        return list if inner is None else _each(list, inner)
    return None


def _from_plain(kind: Any) -> Convert | None:
    if (arm := _optional(kind)) is not None:
        return _or_none(_from_plain(arm))
    if isinstance(kind, type) and is_dataclass(kind):
        return structurer(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if get_origin(kind) is tuple:
        inner = _from_plain(get_args(kind)[0])
        return tuple if inner is None else _each(tuple, inner)
    return None


def _or_none(inner: Convert | None) -> Convert | None:
    return inner and (lambda value: None if value is None else inner(value))


def _tagged(name: str, inner: Convert) -> Convert:
    return lambda value: (name, inner(value))


def _each(collect: Convert, inner: Convert) -> Convert:
    return lambda values: collect(inner(value) for value in values)
