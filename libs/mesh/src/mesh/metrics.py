"""Prometheus metrics that every stage has; their names are listed here and nowhere else."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from mesh.record import TopicPartition

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10)


class StageMetrics:
    """What a worker measures, in one registry per process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._consumed = Counter(
            "sightline_records_consumed", "Records read, by lane.", ["lane"], registry=self.registry
        )
        self._produced = Counter(
            "sightline_records_produced",
            "Outputs acknowledged, by topic.",
            ["topic"],
            registry=self.registry,
        )
        self._rejected = Counter(
            "sightline_records_rejected",
            "Dead letters, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._shed = Counter(
            "sightline_records_shed",
            "Records given up on purpose, by lane and reason.",
            ["lane", "reason"],
            registry=self.registry,
        )
        self._retried = Counter(
            "sightline_batches_retried", "Batches tried again.", registry=self.registry
        )
        self._batch_seconds = Histogram(
            "sightline_batch_seconds",
            "Time in the stage per batch, seconds.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_records = Histogram(
            "sightline_batch_records",
            "Records per batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self._lag = Gauge(
            "sightline_lag_records",
            "Records that wait in the broker, by topic and partition.",
            ["topic", "partition"],
            registry=self.registry,
        )

        self._waiting = Gauge(
            "sightline_lane_waiting",
            "Records that wait in memory, by lane.",
            ["lane"],
            registry=self.registry,
        )
        self._paused = Gauge(
            "sightline_lane_paused",
            "1 while a lane is held back until the next stage has caught up.",
            ["lane"],
            registry=self.registry,
        )

    def consumed(self, lane: str, count: int) -> None:
        """Records were read."""
        self._consumed.labels(lane).inc(count)

    def produced(self, topic: str, count: int) -> None:
        """Outputs were acknowledged."""
        self._produced.labels(topic).inc(count)

    def rejected(self, reason: str) -> None:
        """A record became a dead letter; only the reason's first word is a label."""
        self._rejected.labels(reason.split(" ", 1)[0].rstrip(":")).inc()

    def shed(self, lane: str, reason: str, count: int) -> None:
        """Records were given up on purpose."""
        self._shed.labels(lane, reason).inc(count)

    def retried(self, failures: int) -> None:
        """A batch failed for a passing reason and will be tried again."""
        del failures
        self._retried.inc()

    def processed(self, count: int, seconds: float) -> None:
        """A batch of so many records left the stage after so long."""
        self._batch_records.observe(count)
        self._batch_seconds.observe(seconds)

    def lag(self, partition: TopicPartition, records: int) -> None:
        """So many records wait in the broker."""
        self._lag.labels(partition.topic, str(partition.partition)).set(records)

    def waiting(self, lane: str, records: int) -> None:
        """So many records wait in memory."""
        self._waiting.labels(lane).set(records)

    def paused(self, lane: str, *, paused: bool) -> None:
        """Whether a lane is held back until the next stage has caught up."""
        self._paused.labels(lane).set(paused)
