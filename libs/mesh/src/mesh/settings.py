"""What every process of the mesh can be told through `SIGHTLINE_*` variables."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mesh.addresses import CLOUD_METADATA, AddressPolicy
from mesh.errors import ConfigurationError
from mesh.topics import Topics

ENV_PREFIX = "SIGHTLINE_"
S = TypeVar("S", bound=BaseSettings)


class MeshSettings(BaseSettings):
    """Connection, identity and telemetry of one process; frozen once it is built in `main`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Brokers, host:port, by commas.")
    registry_url: str = Field(
        "http://127.0.0.1:8081", description="Schema registry with Confluent's API."
    )
    topic_prefix: str = Field("sightline.", description="Put before every topic and group name.")
    partitions: int = Field(16, ge=1, le=1000, description="Partitions of every topic.")
    replication: int = Field(1, ge=1, le=7, description="Replicas of every partition.")
    session_timeout_ms: int = Field(
        10_000, ge=6_000, le=300_000, description="Consumer session time-out, milliseconds."
    )
    instance_id: str = Field(
        default_factory=socket.gethostname, description="Name of this process in records and logs."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is logged."
    )
    health_host: str = Field("127.0.0.1", description="Address of /live, /ready and /metrics.")
    health_port: int = Field(0, ge=0, le=65535, description="Its port; 0 takes a free one.")
    stop_seconds: float = Field(
        20.0, gt=0, le=600, description="Time to finish the work in hand after SIGTERM, seconds."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Fernet keys for passwords and dead letters, by commas; the first encrypts.",
    )
    forbidden_networks: str = Field(
        CLOUD_METADATA,
        description="Addresses and networks (CIDR) that no camera may lead to, by commas.",
    )

    @field_validator("forbidden_networks")
    @classmethod
    def _only_networks(cls, networks: str) -> str:
        AddressPolicy.parse(networks)
        return networks

    @property
    def address_policy(self) -> AddressPolicy:
        """Where no camera may lead to."""
        return AddressPolicy.parse(self.forbidden_networks)

    @property
    def topics(self) -> Topics:
        """The topic names of this installation."""
        return Topics(self.topic_prefix)

    @property
    def session_timeout(self) -> timedelta:
        """Consumer session time-out."""
        return timedelta(milliseconds=self.session_timeout_ms)

    def group(self, name: str) -> str:
        """The consumer group of this name in this installation."""
        return self.topic_prefix + name

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            ConfigurationError: a variable is missing or out of range; the message names it.
        """
        return load(cls)


class ObjectSettings(MeshSettings):
    """Where large objects lie, for the services that write or read them."""

    objects_url: str = Field(
        "file:///tmp/sightline-objects",
        description="Where pictures are kept: file:///folder or s3://bucket/prefix; the same for"
        " every service.",
    )


class ModelSettings(MeshSettings):
    """Where model files come from, for the services that run models."""

    model_pack: str = Field(
        "yunet-omz", description="Pack of detector and embedder, see `mesh models list`."
    )
    models_dir: Path | None = Field(
        None, description="Folder with model files, recognised by their SHA-256."
    )
    models_cache: Path = Field(
        Path("var/models"), description="Folder that downloaded model files are kept in."
    )
    model_registry: Path | None = Field(
        None, description="TOML file of models and packs of the user's own."
    )
    accept_licences: str = Field(
        "", description="Licences that models ask to be accepted, by commas."
    )
    batch_timeout_s: float = Field(
        60.0, ge=0.2, le=3600, description="A batch that takes longer ends the process, seconds."
    )

    @property
    def accepted_licences(self) -> frozenset[str]:
        """The names in `accept_licences`."""
        return names_of(self.accept_licences)

    @property
    def batch_timeout(self) -> timedelta:
        """How long a batch may take."""
        return timedelta(seconds=self.batch_timeout_s)


def names_of(text: str) -> frozenset[str]:
    """The names in a list by commas, without spaces around them."""
    return frozenset(name.strip() for name in text.split(",")) - {""}


def load(cls: type[S]) -> S:
    """Build settings from the environment.

    Raises:
        ConfigurationError: a variable is missing or out of range; the message names it.
    """
    try:
        return cls()
    except ValidationError as error:
        problems = "; ".join(
            f"{ENV_PREFIX}{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigurationError(problems) from error
