"""Events to bytes and back: Avro in the Confluent wire format."""

import io
import struct
from collections.abc import Mapping
from typing import Any

import fastavro
from fastavro.types import Schema as ParsedSchema

from mesh import events
from mesh.errors import ConfigurationError, RejectedRecordError
from mesh.registry import InMemoryRegistry, Registry
from mesh.schemas import NAMESPACE, SchemaLibrary
from mesh.structure import structurer, unstructure
from mesh.topics import CATALOGUE, Topics

_HEADER = struct.Struct(">bI")
_MAGIC = 0
_UNDECODABLE = (
    ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError, struct.error,
    fastavro.read.SchemaResolutionError,
)  # fmt: skip


class AvroCodec:
    """Encodes with this version's schema and decodes with the schema that the writer named.

    Each schema is looked up once; this version's must be registered before the first `encode`.
    """

    def __init__(self, registry: Registry, topics: Topics, library: SchemaLibrary) -> None:
        self.topics = topics
        self._registry = registry
        self._library = library
        self._own: dict[str, ParsedSchema] = {}
        self._headers: dict[str, bytes] = {}
        self._writers: dict[int, ParsedSchema] = {}
        self._resolved: dict[tuple[str, int], tuple[ParsedSchema, ParsedSchema | None]] = {}

    @classmethod
    def in_memory(cls, topics: Topics | None = None) -> "AvroCodec":
        """A codec with a registry of its own that knows every topic, for tests."""
        topics, library, registry = topics or Topics(), SchemaLibrary.packaged(), InMemoryRegistry()
        for spec in CATALOGUE:
            if spec.records:
                registry.register(f"{topics(spec.name)}-value", library.value_schema(spec))
        return cls(registry, topics, library)

    def encode(self, topic: str, event: Any) -> bytes:
        """The event as a record value for the topic.

        Raises:
            ConfigurationError: this version's schema of the topic is not registered.
            TransientError: the registry cannot be reached.
        """
        schema = self._own_schema(topic)
        if topic not in self._headers:
            raw = self._library.value_schema(self.topics.spec(topic))
            schema_id = self._registry.schema_id(f"{topic}-value", raw)
            self._headers[topic] = _HEADER.pack(_MAGIC, schema_id)
        value: Any = unstructure(event)
        buffer = io.BytesIO()
        buffer.write(self._headers[topic])
        if isinstance(schema, list):
            value = (f"{NAMESPACE}.{type(event).__name__}", value)
        fastavro.schemaless_writer(buffer, schema, value)
        return buffer.getvalue()

    def decode(self, topic: str, data: bytes) -> Any:
        """The event in a record value.

        Raises:
            RejectedRecordError: the bytes are no record of this topic.
            TransientError: the registry cannot be reached.
        """
        if len(data) < _HEADER.size or data[0] != _MAGIC:
            raise RejectedRecordError("the value lacks the 5-byte Confluent header")
        writer, reader = self._schemas(topic, _HEADER.unpack_from(data)[1])
        buffer = io.BytesIO(data)
        buffer.seek(_HEADER.size)
        try:
            value: Any = fastavro.schemaless_reader(
                buffer, writer, reader, return_record_name=True, return_record_name_override=True
            )
            name, body = value if isinstance(value, tuple) else (self._only_record(topic), value)
            return structurer(getattr(events, name.removeprefix(f"{NAMESPACE}.")))(body)
        except _UNDECODABLE as error:
            raise RejectedRecordError(f"undecodable value on {topic}: {error!r}") from error

    def _only_record(self, topic: str) -> str:
        return self.topics.spec(topic).records[0].__name__

    def _own_schema(self, topic: str) -> ParsedSchema:
        if topic not in self._own:
            raw = self._library.value_schema(self.topics.spec(topic))
            if raw is None:
                raise ConfigurationError(f"topic {topic} carries opaque bytes, not events")
            self._own[topic] = _parse(raw)
        return self._own[topic]

    def _schemas(self, topic: str, schema_id: int) -> tuple[ParsedSchema, ParsedSchema | None]:
        """The writer's schema, and ours where it differs: resolving them is slow."""
        found = self._resolved.get((topic, schema_id))
        if found is None:
            own, writer = self._own_schema(topic), self._writer_schema(schema_id)
            found = self._resolved[topic, schema_id] = (writer, None if writer == own else own)
        return found

    def _writer_schema(self, schema_id: int) -> ParsedSchema:
        if schema_id not in self._writers:
            try:
                self._writers[schema_id] = _parse(self._registry.schema(schema_id))
            except KeyError as error:
                raise RejectedRecordError(f"unknown schema id {schema_id}") from error
        return self._writers[schema_id]


def _parse(raw: Mapping[str, Any] | Any) -> ParsedSchema:
    return fastavro.parse_schema(raw)
