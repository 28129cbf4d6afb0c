"""What the camera service can be told."""

from collections.abc import Sequence
from datetime import timedelta

from pydantic import Field

from camera.domain.backoff import Backoff
from camera.domain.budget import ConnectionLimits
from camera.domain.policy import CapturePolicy
from mesh.settings import ObjectSettings
from mesh.source.ring import Allowance, RingLimits
from mesh.source.sampling import Spread
from mesh.source.statistics import Meter


class CameraSettings(ObjectSettings):
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
        2.0, gt=0, le=10, description="Time between two statuses of a camera, seconds."
    )
    ledger_seconds: float = Field(
        2.0, gt=0, le=60, description="Time between two entries of an epoch in the ledger, seconds."
    )
    retry_seconds: float = Field(
        60.0, ge=1, le=3600, description="Longest wait between two attempts to connect, seconds."
    )
    discovery: bool = Field(True, description="Look for cameras when the gateway asks.")
    discovery_interfaces: str = Field(
        "",
        description="Network interfaces that probes leave by, by commas; empty takes all that lead"
        " to others.",
    )
    max_retries: int = Field(
        0,
        ge=0,
        le=100_000,
        description="A camera that failed more often in a row is stopped; 0 never gives up.",
    )
    connects_per_host: int = Field(
        8, ge=1, le=1000, description="Cameras of one host that may be connecting at once."
    )
    connects: int = Field(
        32, ge=1, le=10_000, description="Cameras of this replica that may be connecting at once."
    )
    frozen_seconds: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="Exactly the same picture for so long is an error, seconds; 0 never.",
    )
    motion_refresh_seconds: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Of a quiet scene one picture is sent in so many seconds.",
    )

    @property
    def backoff(self) -> Backoff:
        """When cameras are tried again, and second streams."""
        return Backoff(maximum=timedelta(seconds=self.retry_seconds))

    @property
    def limits(self) -> ConnectionLimits:
        """How many cameras may be connecting at once."""
        return ConnectionLimits(per_host=self.connects_per_host, together=self.connects)

    def policy(self, meter: Meter) -> CapturePolicy:
        """What holds for all streams.

        Args:
            meter: Counts their frames.
        """
        return CapturePolicy(
            instance_id=self.instance_id,
            live=RingLimits(frames=self.ring_frames),
            evidence=RingLimits(
                frames=self.spool_frames, size=self.spool_mb << 20, reason="spool_full"
            ),
            together=Allowance(size=self.spool_total_mb << 20),
            meter=meter,
            spread=Spread(self.instance_id),
            frozen_seconds=self.frozen_seconds,
            motion_refresh=self.motion_refresh_seconds,
        )

    @property
    def probe_interfaces(self) -> Sequence[str] | None:
        """Names of network interfaces; nothing for all."""
        names = [name.strip() for name in self.discovery_interfaces.split(",")]
        return [name for name in names if name] or None
