"""What the camera service can be told."""

from pydantic import Field

from mesh.settings import MeshSettings


class CameraSettings(MeshSettings):
    """Connection, identity, and how streams are kept."""

    node: str | None = Field(
        None, description="Name of this replica's node; cameras that name it are this replica's."
    )
    ring_frames: int = Field(
        10, ge=1, le=1000, description="Frames of a camera that wait for the broker; newest win."
    )
    spool_frames: int = Field(
        600, ge=1, le=100_000, description="The same for cameras with `overload: all`."
    )
    spool_mb: int = Field(
        64, ge=1, le=4096, description="Most MiB that such a camera's waiting frames may take."
    )
    spool_total_mb: int = Field(
        256, ge=1, le=65_536, description="Most MiB that all such cameras together may take."
    )
    unreachable_seconds: float = Field(
        5.0,
        ge=1,
        le=60,
        description="Kafka is unreachable once it owes every acknowledgement so long, seconds.",
    )
    status_seconds: float = Field(
        2.0, gt=0, le=60, description="Time between two statuses of a camera, seconds."
    )
    ledger_seconds: float = Field(
        2.0, gt=0, le=60, description="Time between two entries of an epoch in the ledger, seconds."
    )
    retry_seconds: float = Field(
        60.0, ge=1, le=3600, description="Longest wait between two attempts to connect, seconds."
    )
