"""Operations: models, ledger, log events and audit.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mesh.events.frames import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchModel:
    """Use another model for a task from now on."""

    model_id: str
    """Model to use."""
    task: str
    """face-detection or face-recognition."""
    requested_by: str
    """User who asked."""
    requested_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """Heartbeat of a loaded model."""

    model_id: str
    """Identifier in the model registry."""
    instance_id: str
    """Process that has it loaded."""
    service: str
    """detection or recognition."""
    task: str
    """What it is for: face-detection, face-recognition, object-detection, face-landmarks,
    eye-state, head-pose, liveness or age-gender.
    """
    name: str
    """Name for people."""
    version: str
    """Version of the weights."""
    licence: str
    """Licence of the weights."""
    sha256: str
    """SHA-256 of the main file."""
    pack: str
    """Pack it came with."""
    device: str
    """Device it runs on."""
    engine: str
    """Runtime."""
    state: str
    """loading, available, degraded or failed."""
    embedding_size: int | None = None
    """Of a recognition model."""
    threshold: float | None = None
    """Similarity threshold in force, of a recognition model."""
    aliases: tuple[str, ...] = ()
    """Names of the specification that mean this model."""
    utilisation: float
    """Share of the last second spent in inference, 0 to 1."""
    queue: int
    """Frames waiting."""
    latency_p50_ms: float | None = None
    """Per frame or face, milliseconds."""
    latency_p99_ms: float | None = None
    """Per frame or face, milliseconds."""
    throughput_fps: float | None = None
    """Frames or faces per second over the last heartbeat."""
    memory_mb: float | None = None
    """Resident memory of the process, MiB."""
    max_batch: int
    """Largest batch."""
    heartbeat_at: datetime
    """UTC."""
    path: str | None = None
    """Main file as the process loaded it."""
    precision: str | None = None
    """Numbers that the engine works with: f32, bf16 or f16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRange:
    """A range of sequence numbers."""

    first: int
    """First number."""
    last: int
    """Last number, inclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """Sets of sequence numbers of one camera and epoch by outcome; union is idempotent."""

    camera_id: str
    """Camera."""
    epoch: int
    """Epoch."""
    lane: Lane
    """Lane of the frames."""
    outcome: str
    """captured, processed, failed, shed or lost."""
    reason: str | None = None
    """Why, for failed, shed and lost."""
    ranges: tuple[SequenceRange, ...]
    """The numbers."""
    closes_epoch: bool = False
    """True in the source's last entry of the epoch."""
    service: str
    """Service that reports."""
    instance_id: str
    """Process that reports."""
    reported_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """Something that happened, for people and statistics."""

    event_id: str
    """evt_<uuid>."""
    event_type: str
    """camera_connection, model_fallback, …"""
    occurred_at: datetime
    """UTC."""
    severity: str
    """info, warning or error."""
    service: str
    """Service."""
    instance_id: str
    """Process."""
    camera_id: str | None = None
    """Camera concerned."""
    camera_name: str | None = None
    """Its name."""
    frame_id: str | None = None
    """Frame concerned."""
    message: str
    """Sentence for people."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Details."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to personal data."""

    audit_id: str
    """aud_<uuid5>."""
    audit_type: str
    """data_access, data_modification or consent."""
    occurred_at: datetime
    """UTC."""
    user_id: str
    """Who."""
    action: str
    """What."""
    resource: str
    """To what, kind:id."""
    person_id: str | None = None
    """Person concerned."""
    ip_address: str | None = None
    """From where."""
    result: str
    """success or denied."""
    reason: str | None = None
    """Why."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Details, without names."""
