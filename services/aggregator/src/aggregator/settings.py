"""What an aggregator process can be told."""

from datetime import timedelta
from pathlib import Path

from pydantic import AliasChoices, Field

from aggregator.domain.followed import SightingPolicy
from aggregator.domain.idleness import IdlePolicy
from mesh.settings import MeshSettings


class AggregatorSettings(MeshSettings):
    """Settings of one aggregator process; frozen once it is built in `main`."""

    aggregator_dir: Path = Field(
        Path("var/aggregator"),
        validation_alias=AliasChoices("SIGHTLINE_AGGREGATOR_DIR", "SIGHTLINE_DATA_DIR"),
        description="Folder of this process's tables; never shared with another process.",
    )
    sighting_gap_s: float = Field(
        10.0, gt=0, le=3600, description="A face away for longer is another sighting, seconds."
    )
    sighting_update_s: float = Field(
        1.0, ge=0, le=60, description="Least event time between updates of a sighting, seconds."
    )
    silence_grace_s: float = Field(
        5.0,
        ge=0,
        le=600,
        description="Beyond the gap, before a silent camera's sightings are closed, seconds.",
    )
    forget_after_days: float = Field(
        7.0, gt=0, le=365, description="A camera that was silent for longer is forgotten, days."
    )
    standby_replicas: int = Field(
        1, ge=0, le=3, description="Copies of each table partition on other instances."
    )

    @property
    def sighting_policy(self) -> SightingPolicy:
        """When a sighting ends, and how often it is told."""
        gap = timedelta(seconds=self.sighting_gap_s)
        return SightingPolicy(
            gap=gap,
            update_every=timedelta(seconds=self.sighting_update_s),
            keep_closed=max(timedelta(seconds=60), gap),
        )

    @property
    def idle_policy(self) -> IdlePolicy:
        """When a camera is forgotten."""
        return IdlePolicy(registered=timedelta(days=self.forget_after_days))

    @property
    def silence_after(self) -> timedelta:
        """A camera from which nothing came for longer is silent."""
        return timedelta(seconds=self.sighting_gap_s + self.silence_grace_s)
