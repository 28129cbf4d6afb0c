"""What the ledger's sweep measures."""

from collections.abc import Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from results.domain.balance import CRASH, RETENTION
from results.domain.sweep import Verdict


class LedgerMetrics:
    """Gauges of the last sweep and a counter of lost frames; one keeper at a time moves them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "sightline_ledger_open_frames",
            "Captured frames without an outcome, as of the last sweep.",
            registry=registry,
        )
        self._oldest = Gauge(
            "sightline_ledger_oldest_open_seconds",
            "About how long ago the first of them was captured.",
            registry=registry,
        )
        self._epochs = Gauge(
            "sightline_ledger_unsettled_epochs",
            "Epochs that are not over or not balanced.",
            registry=registry,
        )
        self._behind = Gauge(
            "sightline_ledger_behind_seconds",
            "For how long the sweep has waited for the writer.",
            registry=registry,
        )
        self._lost = Counter(
            "sightline_ledger_lost_frames",
            "Captured frames that will never have a result, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in (RETENTION, CRASH):
            self._lost.labels(reason)

    def swept(self, verdicts: Sequence[Verdict], now: datetime) -> None:
        """A sweep found this."""
        oldest = min((v.oldest_open_at for v in verdicts if v.oldest_open_at), default=now)
        self._open.set(sum(len(verdict.open) for verdict in verdicts))
        self._oldest.set(max(0.0, (now - oldest).total_seconds()))
        self._epochs.set(sum(1 for verdict in verdicts if not verdict.settled))

    def behind(self, seconds: float) -> None:
        """The writer has not written what was published so long ago."""
        self._behind.set(seconds)

    def lost(self, reason: str, count: int) -> None:
        """So many frames are lost, and the ledger says so."""
        self._lost.labels(reason).inc(count)
