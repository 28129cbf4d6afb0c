"""What the embedded platform can be told through the environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.layout import repository_root
from local.services import SERVICE_NAMES
from mesh.models import ModelRegistry, ModelStore
from mesh.settings import load, names_of


class LocalSettings(BaseSettings):
    """The embedded platform's own settings; those of services pass through to them."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_", frozen=True, extra="ignore")

    var: Path = Field(
        default_factory=lambda: repository_root() / "var",
        description="The folder that everything is kept in.",
    )
    gateway_port: int = Field(
        8080, ge=0, le=65535, description="Port of page and API on 127.0.0.1; 0 takes a free one."
    )
    model_pack: str | None = Field(
        None, description="Model pack; unset takes the best one whose files can be had."
    )
    models_dir: Path | None = Field(None, description="A folder with model files of your own.")
    model_registry: Path | None = Field(
        None, description="TOML file of models and packs of your own."
    )
    accept_licences: str = Field(
        "", description="Licences that models ask to be accepted, by commas."
    )
    demo_fps: float | None = Field(
        None, ge=0.1, le=30, description="Frames per second of the demo's camera; unset adapts."
    )
    demo_video: Path | None = Field(
        None, description="A clip of your own, played in a loop instead of the sample."
    )
    demo_camera: SecretStr | None = Field(
        None,
        description="rtsp://user:password@host/path of your own camera.",
    )
    local_camera: int = Field(1, ge=0, le=16, description="Camera processes.")
    local_detection: int = Field(1, ge=0, le=16, description="Detection processes.")
    local_recognition: int = Field(1, ge=0, le=16, description="Recognition processes.")
    local_aggregator: int = Field(1, ge=0, le=16, description="Aggregator processes.")
    local_writer: int = Field(1, ge=0, le=16, description="Writer processes.")
    local_keeper: int = Field(1, ge=0, le=1, description="Keeper processes.")
    local_gateway: int = Field(1, ge=0, le=1, description="Gateway processes.")

    @field_validator(
        "demo_video", "demo_camera", "models_dir", "model_pack", "model_registry", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        """A Makefile exports what is not given as an empty string."""
        return None if value == "" else value

    @property
    def registry(self) -> ModelRegistry:
        """The models and packs that there are.

        Raises:
            ConfigurationError: The user's own file is wrong; the message names what.
        """
        return ModelRegistry.load(self.model_registry)

    def store(self, cache: Path) -> ModelStore:
        """Where model files lie, and come to.

        Args:
            cache: The folder for downloaded files.
        """
        return ModelStore(
            folder=self.models_dir, cache=cache, accepted=names_of(self.accept_licences)
        )

    @property
    def instances(self) -> dict[str, int]:
        """How many processes of each service."""
        return {name: int(getattr(self, f"local_{name}")) for name in SERVICE_NAMES}

    @classmethod
    def load(cls) -> Self:
        """Reads the environment.

        Raises:
            ConfigurationError: A variable is out of range; the message names it.
        """
        return load(cls)
