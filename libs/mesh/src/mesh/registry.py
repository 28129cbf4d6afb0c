"""Schema registries: a real one over HTTP, and one in memory that keeps the same contract."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from mesh.errors import ConfigurationError, TransientError
from mesh.topics import TopicSpec

_UNREACHABLE = (httpx2.TransportError, ConnectionError, TimeoutError)
_NOT_FOUND = 404
_ANSWER_SECONDS = 5
"""A registry that takes a connection and says nothing counts as away after this."""


class Registry(Protocol):
    """Looks schemas up by id and by text; services never register."""

    def schema_id(self, subject: str, schema: Any) -> int:
        """The id under which the subject knows this very schema.

        Raises:
            ConfigurationError: it is not registered there.
            TransientError: the registry cannot be reached.
        """

    def schema(self, schema_id: int) -> Any:
        """The parsed JSON of the schema with this id.

        Raises:
            KeyError: there is no such schema.
            TransientError: the registry cannot be reached.
        """


class ConfluentRegistry:
    """Any registry that speaks Confluent's API; the deploy step registers through it."""

    def __init__(self, url: str) -> None:
        self._client = SchemaRegistryClient(
            {"url": url, "max.retries": 1, "timeout": _ANSWER_SECONDS}
        )

    def schema_id(self, subject: str, schema: Any) -> int:
        """The id under which the subject knows this very schema."""
        try:
            return int(self._client.lookup_schema(subject, _avro(schema)).schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                raise ConfigurationError(
                    f"subject {subject} lacks this version's schema; run `mesh schemas register`"
                ) from error
            raise TransientError(f"schema registry: {error}") from error
        except _UNREACHABLE as error:
            raise TransientError(f"schema registry unreachable: {error}") from error

    def schema(self, schema_id: int) -> Any:
        """The parsed JSON of the schema with this id."""
        try:
            return json.loads(str(self._client.get_schema(schema_id).schema_str))
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                raise KeyError(schema_id) from error
            raise TransientError(f"schema registry: {error}") from error
        except _UNREACHABLE as error:
            raise TransientError(f"schema registry unreachable: {error}") from error

    def register(self, subject: str, schema: Any, compatibility: str) -> int:
        """Set the subject's compatibility and register the schema; returns its id.

        Raises:
            ConfigurationError: the schema breaks the compatibility.
            TransientError: the registry cannot be reached.
        """
        try:
            self._client.set_compatibility(subject_name=subject, level=compatibility)
            return int(self._client.register_schema(subject, _avro(schema)))
        except SchemaRegistryError as error:
            raise ConfigurationError(f"{subject}: {error.error_message}") from error
        except _UNREACHABLE as error:
            raise TransientError(f"schema registry unreachable: {error}") from error

    def close(self) -> None:
        """Close the connections; no call may follow."""
        self._client.close()


class InMemoryRegistry:
    """A registry for tests: what is registered gets the next id."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, Any] = {}

    def schema_id(self, subject: str, schema: Any) -> int:
        """The id under which the subject knows this very schema."""
        try:
            return self._ids[subject, _canonical(schema)]
        except KeyError:
            raise ConfigurationError(f"subject {subject} lacks this version's schema") from None

    def schema(self, schema_id: int) -> Any:
        """The schema with this id."""
        return self._schemas[schema_id]

    def register(self, subject: str, schema: Any, compatibility: str = "NONE") -> int:
        """Register the schema whatever came before; returns its id."""
        del compatibility
        schema_id = self._ids.setdefault((subject, _canonical(schema)), len(self._ids) + 1)
        self._schemas[schema_id] = schema
        return schema_id


def compatibility(spec: TopicSpec) -> str:
    """The rule a topic's schema evolves by: outsiders read public topics with any version."""
    return "FULL_TRANSITIVE" if spec.public else "BACKWARD_TRANSITIVE"


def _avro(schema: Mapping[str, Any] | Sequence[Any]) -> Schema:
    return Schema(json.dumps(schema), "AVRO")


def _canonical(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True)
