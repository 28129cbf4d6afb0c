"""What detection can be told through `SIGHTLINE_*` variables."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from detection.ports import CloudPolicy
from inference.settings import CLOUD, InferenceSettings
from mesh.errors import ConfigurationError
from mesh.settings import ObjectSettings
from mesh.tasks import NEEDS

REKOGNITION = "aws-rekognition"
"""Stands for the cloud among the fallbacks."""


class DetectionSettings(InferenceSettings, ObjectSettings):
    """Settings of the detection service."""

    detection_threads: int = Field(
        1, ge=1, le=64, description="Threads that one run of the detector may use."
    )
    detection_engine: Literal["auto", "onnxruntime", "openvino", "torch"] | None = Field(
        None, description="Engine of the detector; that of SIGHTLINE_ENGINE unless set."
    )
    detection_streams: int = Field(
        1, ge=1, le=64, description="Pictures that a CPU works on at once, where the engine can."
    )
    detection_long_side: int = Field(
        640, ge=160, le=4096, description="Pictures are scaled down to this for detection, pixels."
    )
    detection_batch: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Frames per batch, at most; 1 on a CPU, 8 on a GPU if absent.",
    )
    detection_chip_budget: int = Field(
        524_288,
        ge=65_536,
        le=1_048_576,
        description="Bytes of one frame's face chips; more are cut coarsely.",
    )
    detection_tasks: str = Field(
        ",".join(task for task in NEEDS if task != "age_gender"),
        description="Tasks whose models are loaded where their files are at hand, by commas.",
    )
    detection_fallbacks: str = Field(
        "",
        description="Models that stand in for the detector on the CPU, in order, by commas.",
    )
    cloud_consent: bool = Field(
        False, description="Whether pictures with faces may be sent to the cloud at all."
    )
    cloud_region: str | None = Field(None, description="Region of the cloud, such as eu-west-1.")
    cloud_endpoint: str | None = Field(
        None, description="Address of the cloud's API, where it is not the region's own."
    )

    @property
    def batch(self) -> int:
        """Frames per batch, at most: on a CPU more would only add latency, a GPU gets 7.4's."""
        return self.detection_batch or (1 if self.device == "CPU" else 8)

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks of `SIGHTLINE_DETECTION_TASKS`.

        Raises:
            ConfigurationError: one of them is none.
        """
        tasks = [task.strip() for task in self.detection_tasks.split(",") if task.strip()]
        for task in tasks:
            if task not in NEEDS:
                known = ", ".join(NEEDS)
                raise ConfigurationError(f"SIGHTLINE_DETECTION_TASKS: {task} is none of {known}")
        return tasks

    @property
    def cloud(self) -> CloudPolicy:
        """What may go to the cloud, and how.

        Raises:
            ConfigurationError: there is no consent, or no region.
        """
        if not self.cloud_consent:
            raise ConfigurationError(
                f"SIGHTLINE_DETECTION_FALLBACKS names {REKOGNITION}, which would send pictures of "
                "people out of this installation; SIGHTLINE_CLOUD_CONSENT must be true for that"
            )
        if self.cloud_region is None:
            raise ConfigurationError(f"{REKOGNITION} needs SIGHTLINE_CLOUD_REGION")
        return CloudPolicy(
            region=self.cloud_region, endpoint=self.cloud_endpoint, timeout=self.cloud_timeout_s
        )

    def places(self, model_id: str, devices: Sequence[str]) -> Sequence[tuple[str, str]]:
        """Model and device of each link of the chain in front of which this model stands.

        Args:
            model_id: of the model.
            devices: that it runs on.
        """
        others = [name.strip() for name in self.detection_fallbacks.split(",") if name.strip()]
        return [(model_id, device) for device in devices] + [
            (name, CLOUD if name == REKOGNITION else "CPU") for name in others if name != model_id
        ]
