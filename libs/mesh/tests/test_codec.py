"""The codec, against golden bytes and for every record of the catalogue."""

import contextlib
import dataclasses
import enum
import json
import types
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import events
from mesh.codec import AvroCodec
from mesh.errors import ConfigurationError, RejectedRecordError
from mesh.registry import InMemoryRegistry
from mesh.schemas import SchemaLibrary
from mesh.structure import structurer, unstructure
from mesh.testing import a_detection_config
from mesh.topics import CATALOGUE, Topics

GOLDEN = Path(__file__).parent / "golden" / "records.json"
CODEC = AvroCodec.in_memory()
CASES = [(spec.name, record) for spec in CATALOGUE for record in spec.records]
MOMENT = datetime(2026, 11, 6, 12, 45, 23, 123456, tzinfo=UTC)


def sample(kind: Any, *, full: bool) -> Any:
    """A fixed value of an annotated type; `full` fills what may be null or empty."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        return sample(arguments[0], full=full) if full else None
    if origin is tuple:
        return (sample(arguments[0], full=full),) * 2 if full else ()
    if origin is not None:
        return {"key": sample(arguments[1], full=full)} if full else {}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        assert isinstance(kind, type)
        return kind(**{f.name: sample(hints[f.name], full=full) for f in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    plain = {str: "text", int: 7, float: 0.5, bool: True, bytes: b"\x00\xff", datetime: MOMENT}
    return plain[kind]


@pytest.mark.parametrize(("topic", "record"), CASES)
@pytest.mark.parametrize("full", [True, False])
def test_every_record_of_the_catalogue_survives_the_wire(
    topic: str, record: type, full: bool
) -> None:
    name, event = Topics()(topic), sample(record, full=full)

    assert CODEC.decode(name, CODEC.encode(name, event)) == event


@pytest.mark.parametrize(("topic", "record"), CASES)
def test_the_bytes_of_a_record_are_the_golden_ones(topic: str, record: type) -> None:
    golden = json.loads(GOLDEN.read_text())

    encoded = CODEC.encode(Topics()(topic), sample(record, full=True))

    assert encoded[5:].hex() == golden[f"{topic}/{record.__name__}"]


@pytest.mark.parametrize(("topic", "record"), CASES)
def test_dataclass_and_schema_name_the_same_fields(topic: str, record: type) -> None:
    schema = SchemaLibrary.packaged().record(record.__name__)

    assert [field["name"] for field in schema["fields"]] == [
        field.name for field in dataclasses.fields(record)
    ]


@given(data=st.binary(max_size=200), topic=st.sampled_from([name for name, _ in CASES]))
def test_garbage_is_rejected_and_never_raises_anything_else(data: bytes, topic: str) -> None:
    event = None
    with contextlib.suppress(RejectedRecordError):
        event = CODEC.decode(Topics()(topic), data)

    assert event is None or dataclasses.is_dataclass(event)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_truncated_record_is_rejected(cut: int) -> None:
    topic = Topics()("sightings")
    data = CODEC.encode(topic, sample(events.Sighting, full=True))

    with pytest.raises(RejectedRecordError):
        CODEC.decode(topic, data[:cut])


def test_a_record_with_an_unknown_schema_id_is_rejected() -> None:
    with pytest.raises(RejectedRecordError, match="unknown schema id 99999"):
        CODEC.decode(Topics()("sightings"), b"\x00\x00\x01\x86\x9fabc")


def test_encoding_without_a_registered_schema_names_the_subject() -> None:
    codec = AvroCodec(InMemoryRegistry(), Topics("site."), SchemaLibrary.packaged())

    with pytest.raises(ConfigurationError, match=r"site\.sightings-value"):
        codec.encode("site.sightings", sample(events.Sighting, full=True))


def test_dead_letters_carry_no_schema() -> None:
    with pytest.raises(ConfigurationError, match="opaque"):
        CODEC.encode(Topics()("dead-letters"), sample(events.Alert, full=True))


def test_what_a_dict_lacks_is_the_default() -> None:
    whole = unstructure(a_detection_config(max_age_ms=500))
    part = {name: whole[name] for name in whole if name != "max_age_ms"}
    assert structurer(events.DetectionConfig)(part) == a_detection_config()
    assert structurer(events.DetectionConfig)({**whole, "unknown": 1}).max_age_ms == 500


def test_a_reader_without_a_new_field_still_reads_a_record_that_has_it() -> None:
    library, registry = SchemaLibrary.packaged(), InMemoryRegistry()
    newer = json.loads(json.dumps(library.record("SwitchModel")))
    newer["fields"].append({"name": "note", "type": "string", "default": "", "doc": "New."})
    topic = Topics()("model.commands")
    writer = AvroCodec.in_memory()
    registry.register(f"{topic}-value", newer)
    old = writer.encode(topic, sample(events.SwitchModel, full=True))

    decoded = AvroCodec(registry, Topics(), library).decode(
        topic, b"\x00\x00\x00\x00\x01" + old[5:] + b"\x08note"
    )

    assert decoded == sample(events.SwitchModel, full=True)
