"""A camera's state as bytes for the table and its changelog.

Avro with the fastavro library, compressed: what is known of a sighting and what was told of it are
nearly the same. The whole state is written once per frame, so what did not change is not encoded
again: sightings are taken over from the bytes of the state before, and the window is packed in
columns of differences, since Avro takes several times as long for so many numbers.
"""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from operator import sub
from typing import Any

import cramjam
import fastavro

from aggregator.domain.followed import Followed
from aggregator.domain.sightings import FeedState
from aggregator.domain.state import CameraState
from aggregator.domain.windows import Seen
from mesh.errors import ConfigurationError
from mesh.events import Sighting
from mesh.schemas import SchemaLibrary
from mesh.structure import structurer, unstructure

_FORMAT = 2
_UNCOMPRESSED = 1
_COLUMNS = len(Seen._fields)
_LONGS = {"type": "array", "items": "long"}
_STRINGS = {"type": "array", "items": "string"}
_TIME = ["null", {"type": "long", "logicalType": "timestamp-micros"}]
_WINDOW: Mapping[str, Any] = {"instances": _STRINGS, "window": "bytes"}
_FEED: Mapping[str, Any] = {"epochs": _LONGS, "sequences": _LONGS, "at": _TIME}
_END_OF_ARRAY = b"\0"


@dataclass(frozen=True, slots=True)
class EncodedState:
    """A state and its bytes, from which the next one is written."""

    state: CameraState
    data: bytes
    parts: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """Avro of each sighting of `state` by its `id`, which is its own as long as `state` is here."""


class StateCodec:
    """Encodes and decodes `CameraState`."""

    def __init__(self, library: SchemaLibrary) -> None:
        sighting = library.record("Sighting")
        self._schema = fastavro.parse_schema(_schema(sighting))
        self._window_schema = fastavro.parse_schema(_record("Window", **_WINDOW))
        self._feed_schema = fastavro.parse_schema(_record("FeedHead", **_FEED))
        self._item_schema = fastavro.parse_schema(_followed_schema(sighting))

    def encode(self, state: CameraState, before: EncodedState | None = None) -> EncodedState:
        """The state as bytes; their first says the format.

        Args:
            state: What is encoded.
            before: An earlier state; sightings that are the same objects are not encoded again.
        """
        known = before.parts if before else {}
        parts = {
            id(item): known.get(id(item)) or _avro(self._item_schema, _followed(item))
            for feed in state.feeds
            for item in feed.followed
        }
        content = b"".join(
            (
                _avro(self._window_schema, _window(state.seen)),
                *(piece for feed in state.feeds for piece in self._pieces(feed, parts)),
            )
        )
        return EncodedState(
            state, bytes([_FORMAT]) + bytes(cramjam.lz4.compress_block(content)), parts
        )

    def decode(self, data: bytes) -> CameraState:
        """The state in these bytes.

        Raises:
            ConfigurationError: they were written in another format.
        """
        buffer = io.BytesIO(_content(data))
        value: Any = fastavro.schemaless_reader(buffer, self._schema, None)
        return CameraState(
            seen=_entries(value),
            stream=_feed_state(value["stream"]),
            pushed=_feed_state(value["pushed"]),
        )

    def _pieces(self, feed: FeedState, parts: Mapping[int, bytes]) -> Iterator[bytes]:
        """A feed as Avro, with its sightings as one block of an array."""
        yield _avro(self._feed_schema, _feed(feed))
        if feed.followed:
            yield _avro("long", len(feed.followed))
            yield from (parts[id(item)] for item in feed.followed)
        yield _END_OF_ARRAY


def _avro(schema: Any, value: Any) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, value)
    return buffer.getvalue()


def _content(data: bytes) -> bytes:
    number = data[0] if data else None
    if number == _FORMAT:
        return bytes(cramjam.lz4.decompress_block(data[1:]))
    if number == _UNCOMPRESSED:
        return data[1:]
    raise ConfigurationError(
        f"the table holds state of format {data[:1].hex() or 'none'}, not {_FORMAT:02x}; "
        "this version cannot go on with it"
    )


def _schema(sighting: Any) -> dict[str, Any]:
    followed = {"type": "array", "items": _followed_schema(sighting)}
    feed = _record("Feed", **_FEED, followed=followed)
    return _record("CameraState", **_WINDOW, stream=feed, pushed="aggregator.Feed")


def _followed_schema(sighting: Any) -> dict[str, Any]:
    return _record(
        "Followed",
        facts=sighting,
        told=["null", f"{sighting['namespace']}.{sighting['name']}"],
        told_at=_TIME,
        cause=["null", "string"],
        epochs=_LONGS,
        tracks=_STRINGS,
        pictured="boolean",
    )


def _record(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "namespace": "aggregator",
        "fields": [{"name": key, "type": kind} for key, kind in fields.items()],
    }


def _window(seen: Sequence[Seen]) -> dict[str, Any]:
    names = list(dict.fromkeys(entry.instance_id for entry in seen))
    number = {name: index for index, name in enumerate(names)}
    columns: list[Sequence[int]] = []
    if seen:
        epochs, sequences, offsets, started, took, instances, poisoned = zip(*seen, strict=True)
        columns = [
            *map(_differences, (epochs, sequences, offsets, started)),
            took,
            [number[name] for name in instances],
            poisoned,
        ]
    data = struct.pack(f"<{len(seen) * _COLUMNS}q", *chain.from_iterable(columns))
    return {"instances": names, "window": bytes(cramjam.lz4.compress_block(data))}


def _entries(value: Any) -> tuple[Seen, ...]:
    data = bytes(cramjam.lz4.decompress_block(value["window"]))
    numbers = struct.unpack(f"<{len(data) // 8}q", data)
    size = len(numbers) // _COLUMNS
    epochs, sequences, offsets, started, took, instances, poisoned = (
        numbers[size * column : size * (column + 1)] for column in range(_COLUMNS)
    )
    return tuple(
        map(
            Seen,
            *map(accumulate, (epochs, sequences, offsets, started)),
            took,
            map(value["instances"].__getitem__, instances),
            map(bool, poisoned),
        )
    )


def _feed(feed: FeedState) -> dict[str, Any]:
    return {
        "epochs": [epoch for epoch, _ in feed.newest],
        "sequences": [sequence for _, sequence in feed.newest],
        "at": feed.at,
    }


def _feed_state(value: Any) -> FeedState:
    return FeedState(
        newest=tuple(zip(value["epochs"], value["sequences"], strict=True)),
        at=value["at"],
        followed=tuple(map(_followed_state, value["followed"])),
    )


def _followed(item: Followed) -> dict[str, Any]:
    return {
        "facts": unstructure(item.facts),
        "told": None if item.told is None else unstructure(item.told),
        "told_at": item.told_at,
        "cause": item.cause,
        "epochs": [epoch for epoch, _ in item.tracks],
        "tracks": [track for _, track in item.tracks],
        "pictured": item.pictured,
    }


def _followed_state(value: Any) -> Followed:
    sighting = structurer(Sighting)
    return Followed(
        facts=sighting(value["facts"]),
        told=None if value["told"] is None else sighting(value["told"]),
        told_at=value["told_at"],
        cause=value["cause"],
        tracks=tuple(zip(value["epochs"], value["tracks"], strict=True)),
        pictured=value["pictured"],
    )


def _differences(values: Sequence[int]) -> list[int]:
    return list(map(sub, values, chain((0,), values)))
