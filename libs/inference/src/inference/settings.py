"""What services that run models can be told about devices and fallbacks."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from inference.running import Running
from mesh.errors import ConfigurationError
from mesh.settings import ModelSettings

CLOUD = "cloud"
"""What is written as the device of a model that somebody else runs."""


class InferenceSettings(ModelSettings):
    """Settings of a service that runs models."""

    engine: str = Field(
        "auto", description="auto: the fastest that agrees with the reference; or an engine's name."
    )
    device: str = Field(
        "CPU",
        pattern=r"^(CPU|IGPU|(GPU|TENSORRT)-\d{1,2})$",
        description="Where models run: CPU, GPU-0, …; unmeasured: TENSORRT-0, …, IGPU.",
    )
    device_choice: Literal["matrix", "all"] = Field(
        "matrix", description="Batches that a GPU gets: by load, priority and size, or all."
    )
    gpu_cameras: str = Field(
        "", description="Cameras that the GPU is for, by commas: others run on the CPU; empty: all."
    )
    precision: str | None = Field(
        None, pattern=r"^(f32|bf16|f16)$", description="Of the engine; its own choice unless set."
    )
    gpu_timeout_s: float = Field(
        5.0, gt=0, le=600, description="A call on a GPU that takes longer goes to the next link, s."
    )
    cpu_timeout_s: float = Field(10.0, gt=0, le=600, description="The same on a CPU, seconds.")
    cloud_timeout_s: float = Field(30.0, gt=0, le=600, description="The same in a cloud, seconds.")

    @property
    def by_matrix(self) -> bool:
        """Whether the decision matrix says which batches a GPU gets; else all of them."""
        return self.device_choice == "matrix"

    @property
    def cameras(self) -> Sequence[str]:
        """The cameras of `SIGHTLINE_GPU_CAMERAS`; none stands for all."""
        return [camera.strip() for camera in self.gpu_cameras.split(",") if camera.strip()]

    @property
    def devices(self) -> Sequence[str]:
        """Where a model runs, and where it goes on when that fails."""
        return [self.device] if self.device == "CPU" else [self.device, "CPU"]

    def running(self, device: str, *, engine: str | None, streams: int) -> Running:
        """How a model runs on a device; engine and precision are settings of the chosen one only.

        Args:
            device: the chosen one, or one that stands in.
            engine: of the service; that of `SIGHTLINE_ENGINE` if absent.
            streams: of the service.
        """
        if device != self.device:
            return Running(device=device, streams=streams, apart=True)
        wanted = engine or self.engine
        return Running(
            wanted=wanted,
            device=device,
            precision=self.precision,
            streams=streams,
            apart=True,
        )

    def timeout(self, device: str) -> float:
        """How long a call may take there, seconds."""
        if device == CLOUD:
            return self.cloud_timeout_s
        return self.cpu_timeout_s if device == "CPU" else self.gpu_timeout_s

    def check_patience(self, devices: Sequence[str]) -> None:
        """Whether a batch may take as long as a chain over these devices.

        Raises:
            ConfigurationError: the watchdog would end the process before the last link answers.
        """
        total = sum(map(self.timeout, devices))
        if len(devices) > 1 and self.batch_timeout_s <= total:
            raise ConfigurationError(
                f"SIGHTLINE_BATCH_TIMEOUT_S is {self.batch_timeout_s:g}; it must be above the "
                f"time-outs of all links together, {total:g} s"
            )
