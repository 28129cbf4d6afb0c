"""Reads typed fields of a registry file; every mistake names file, table and field."""

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar, cast

from mesh.errors import ConfigurationError

T = TypeVar("T")
_REQUIRED: Any = object()
_NAMES = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class Table:
    """One table of a registry file; fields are taken one by one, `close` refuses the rest."""

    def __init__(self, source: str, name: str, raw: Mapping[str, Any]) -> None:
        self._source = source
        self._name = name
        self._raw = dict(raw)

    def wrong(self, field: str, problem: str) -> ConfigurationError:
        """The error for a field."""
        return ConfigurationError(f"{self._source}: [{self._name}] {field}: {problem}")

    def has(self, field: str) -> bool:
        """Whether the field is given and was not taken yet."""
        return field in self._raw

    def text(self, field: str, default: str | None = _REQUIRED) -> str:
        """A text that is not empty."""
        value = self._take(field, str, default)
        if value == "" and default != "":
            raise self.wrong(field, "must not be empty")
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, or none where the field is left out."""
        return self.text(field) if self.has(field) else None

    def choice(self, field: str, choices: Sequence[str], default: str = _REQUIRED) -> str:
        """One of a few texts."""
        value = self.text(field, default)
        if value not in choices:
            raise self.wrong(field, f"{value} is none of {', '.join(choices)}")
        return value

    def integer(self, field: str, least: int, default: int = _REQUIRED) -> int:
        """A whole number from `least` on."""
        value = self._take(field, int, default)
        if isinstance(value, bool) or value < least:
            raise self.wrong(field, f"must be a whole number from {least} on")
        return value

    def flag(self, field: str, default: bool = _REQUIRED) -> bool:  # noqa: FBT001 -- as the others
        """True or false."""
        return self._take(field, bool, default)

    def number(self, field: str, default: float) -> float:
        """A number above 0."""
        return self._number(field, self._raw.pop(field, default), above=0)

    def numbers(self, field: str, default: tuple[float, float, float]) -> tuple[float, ...]:
        """Three numbers, or one that stands for three."""
        value = self._raw.pop(field, default)
        values = value if isinstance(value, list | tuple) else [value] * 3
        if len(values) != 3:
            raise self.wrong(field, "must be one number or three, in the order of the colours")
        return tuple(self._number(field, item) for item in values)

    def texts(self, field: str, default: Sequence[str] = _REQUIRED) -> tuple[str, ...]:
        """Texts in a list, or one text alone."""
        value = self._raw.pop(field, default)
        items = [value] if isinstance(value, str) else value
        if items is _REQUIRED:
            raise self.wrong(field, "is missing")
        if not isinstance(items, list | tuple) or not all(isinstance(i, str) and i for i in items):
            raise self.wrong(field, "must be a text or a list of texts")
        return tuple(items)

    def table(self, field: str) -> Self:
        """A table within this one."""
        return type(self)(self._source, f"{self._name}.{field}", self._take(field, dict, _REQUIRED))

    def tables(self, field: str) -> list[Self]:
        """A list of at least one table."""
        items = self._take(field, list, _REQUIRED)
        if not items:
            raise self.wrong(field, "must not be empty")
        if not all(isinstance(item, dict) for item in items):
            raise self.wrong(field, "must be a list of tables")
        name = f"{self._name}.{field}"
        return [type(self)(self._source, f"{name}.{n}", item) for n, item in enumerate(items, 1)]

    def rest(self) -> Mapping[str, object]:
        """All fields that were not taken yet."""
        rest, self._raw = self._raw, {}
        return rest

    def close(self) -> None:
        """Refuse fields that nobody knows.

        Raises:
            ConfigurationError: one is left.
        """
        for field in self._raw:
            raise self.wrong(field, "is not known here")

    def _take(self, field: str, kind: type[T], default: Any) -> T:
        value = self._raw.pop(field, default)
        if value is _REQUIRED:
            raise self.wrong(field, "is missing")
        if not isinstance(value, kind):
            raise self.wrong(field, f"must be {_NAMES[kind]}")
        return value

    def _number(self, field: str, value: object, above: float | None = None) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(field, "must be a number")
        if above is not None and value <= above:
            raise self.wrong(field, f"must be above {above:g}")
        return float(cast("float", value))
