"""How long things are kept."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long rows are kept."""

    detections: timedelta
    sightings: timedelta
    snapshots: timedelta
    events: timedelta
    audit: timedelta
    ledger: timedelta
    outbox: timedelta = timedelta(days=1)
    jobs: timedelta = timedelta(days=1)
    job_embeddings: timedelta = timedelta(hours=1)
