"""Stand-ins that several tests share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A model that nobody runs."""

    model_id: str = "fake"
    pack: str = "fake"
    name: str = "Fake"
    version: str = "1"
    licence: str = "none"
    sha256: str = "0" * 64
    device: str = "CPU"
    engine: str = "none"
    aliases: tuple[str, ...] = ("face-v1",)
