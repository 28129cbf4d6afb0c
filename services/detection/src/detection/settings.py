"""What detection can be told through `SIGHTLINE_*` variables."""

from pydantic import Field

from mesh.settings import ModelSettings


class DetectionSettings(ModelSettings):
    """Settings of the detection service."""

    detection_threads: int = Field(
        1, ge=1, le=64, description="Threads that one run of the detector may use."
    )
    detection_long_side: int = Field(
        640, ge=160, le=4096, description="Pictures are scaled down to this for detection, pixels."
    )
    detection_batch: int = Field(
        1, ge=1, le=64, description="Frames per batch, at most; on a CPU more only adds latency."
    )
    detection_chip_budget: int = Field(
        524_288, ge=65_536, le=1_048_576, description="Bytes for the face chips of one frame."
    )
