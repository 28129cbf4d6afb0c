"""What the roles of results can be told through `SIGHTLINE_*` variables."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, field_validator

from mesh.settings import ObjectSettings
from mesh.topics import BY_NAME, LANE_TOPICS
from results.domain.admission import AdmissionPolicy
from results.domain.callbacks import CallbackPolicy
from results.domain.retention import RetentionPolicy
from results.domain.spans import TailPolicy
from results.domain.sweep import DOWNSTREAM, SweepPolicy

_GATHER_BYTES = 256 * 1024


class ResultsSettings(ObjectSettings):
    """Settings of gateway, writer and keeper; each reads those that it needs."""

    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/postgres", description="PostgreSQL."
    )

    gateway_host: str = Field("127.0.0.1", description="Address of REST and WebSocket.")
    gateway_port: int = Field(8080, ge=0, le=65535, description="Its port.")
    jwt_secret: SecretStr | None = Field(None, description="Key that tokens are signed with.")
    push_clients: int = Field(
        100, ge=1, le=10_000, description="Clients that may push pictures to one gateway at once."
    )
    allow_file_sources: bool = Field(
        default=False, description="Accept cameras that play a file of the server."
    )
    model_registry: Path | None = Field(
        None, description="TOML file of models of the user's own, as the engines have it."
    )

    callback_secret: SecretStr | None = Field(
        None, min_length=32, description="Key that callbacks are signed with; none: none are sent."
    )
    callback_allow: str = Field(
        "",
        description="Names, addresses and networks that callbacks may go to though not public.",
    )
    admission_queue: int = Field(
        1000, ge=1, le=1_000_000, description="With more pictures waiting only urgent ones pass."
    )
    admission_utilisation: float = Field(
        0.9, gt=0, le=1, description="Above it in every engine of a stage low priority is refused."
    )
    urgent_per_second: float = Field(
        20.0, gt=0, le=10_000, description="Urgent pictures per client, camera and gateway."
    )
    urgent_burst: int = Field(40, ge=1, le=100_000, description="And so many of them at once.")
    job_hours: int = Field(
        24, ge=1, le=720, description="Keep jobs; their embeddings are kept for one hour."
    )

    writer_batch: int = Field(500, ge=1, le=10_000, description="Records per transaction.")
    writer_gather_ms: int = Field(
        250,
        ge=0,
        le=5000,
        description="The broker may gather records so long before the writer gets them,"
        " milliseconds: fewer and larger transactions.",
    )
    writer_wait_ms: int = Field(100, ge=1, le=5000, description="Wait for the first, milliseconds.")

    otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("SIGHTLINE_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Collector of traces (OTLP over HTTP); none are exported without one.",
    )
    trace_ratio: float = Field(0.01, ge=0, le=1, description="Share of frames that are traced.")
    latency_budget_ms: float = Field(
        200.0, gt=0, description="A slower frame is always traced, milliseconds."
    )

    keeper_interval_seconds: float = Field(
        60.0, ge=1, le=86_400, description="Between two rounds of the keeper, seconds."
    )
    detection_days: int = Field(
        90, ge=1, le=3650, description="Months of detections that ended longer ago are dropped."
    )
    sighting_days: int = Field(
        365, ge=1, le=3650, description="Keep sightings, alerts and attendance marks."
    )
    snapshot_days: int = Field(30, ge=1, le=3650, description="Keep face pictures.")
    event_days: int = Field(30, ge=1, le=3650, description="Keep log events.")
    audit_days: int = Field(2555, ge=1, le=36_500, description="Keep audit entries.")
    ledger_days: int = Field(
        30, ge=8, le=3650, description="Keep the ledger; longer than any topic is kept."
    )

    ledger_sweep_seconds: float = Field(
        10.0, ge=0.5, le=3600, description="Between two looks for lost frames, seconds."
    )
    ledger_grace_seconds: float = Field(
        60.0, ge=1, le=3600, description="Wait for a frame that later ones overtook, seconds."
    )
    ledger_silence_seconds: float = Field(
        600.0, ge=1, le=86_400, description="An epoch without a sign of life is over, seconds."
    )

    @field_validator("callback_allow")
    @classmethod
    def _readable(cls, value: str) -> str:
        CallbackPolicy.parse(value)
        return value

    @property
    def callbacks(self) -> CallbackPolicy:
        """Where callbacks may go."""
        return CallbackPolicy.parse(self.callback_allow)

    @property
    def admission(self) -> AdmissionPolicy:
        """Who is let in."""
        return AdmissionPolicy(
            max_utilisation=self.admission_utilisation,
            max_queue=self.admission_queue,
            urgent_per_second=self.urgent_per_second,
            urgent_burst=self.urgent_burst,
        )

    @property
    def writer_fetch(self) -> Mapping[str, int]:
        """How the writer asks the broker: for much at once, as librdkafka is told."""
        return {"fetch.min.bytes": _GATHER_BYTES, "fetch.wait.max.ms": self.writer_gather_ms}

    @property
    def writer_wait(self) -> timedelta:
        """How long the writer waits for the first record of a batch."""
        return timedelta(milliseconds=self.writer_wait_ms)

    @property
    def tail(self) -> TailPolicy:
        """Which frames leave a trace."""
        return TailPolicy(
            ratio=self.trace_ratio, budget=timedelta(milliseconds=self.latency_budget_ms)
        )

    @property
    def retention(self) -> RetentionPolicy:
        """How long the keeper keeps what."""
        return RetentionPolicy(
            detections=timedelta(days=self.detection_days),
            sightings=timedelta(days=self.sighting_days),
            snapshots=timedelta(days=self.snapshot_days),
            events=timedelta(days=self.event_days),
            audit=timedelta(days=self.audit_days),
            ledger=timedelta(days=self.ledger_days),
            jobs=timedelta(hours=self.job_hours),
        )

    @property
    def sweeps(self) -> SweepPolicy:
        """How long the ledger waits for what."""
        return SweepPolicy(
            lanes={lane: retention_of(topic) for lane, topic in LANE_TOPICS.items()},
            downstream=sum(map(retention_of, DOWNSTREAM), timedelta()),
            partitions=self.partitions,
            grace=timedelta(seconds=self.ledger_grace_seconds),
            silence=timedelta(seconds=self.ledger_silence_seconds),
        )


def retention_of(topic: str) -> timedelta:
    """How long the broker keeps records of a catalogued topic that is not compacted."""
    return BY_NAME[topic].retention or timedelta.max
