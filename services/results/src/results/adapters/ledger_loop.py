"""The parts of the ledger's sweep, put together."""

from collections.abc import Callable
from datetime import timedelta

from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.kafka.ends import KafkaEnds
from mesh.process import Process
from mesh.registry import ConfluentRegistry
from mesh.retry import PATIENT
from mesh.schemas import SchemaLibrary
from results.adapters.keeper import Keeper
from results.adapters.ledger_metrics import LedgerMetrics
from results.adapters.ledger_sweep import LedgerSweep
from results.settings import ResultsSettings

_LOCK = 0x51_67_68_74_00_04
"""Advisory lock of the sweep; it falls with the connection that holds it."""


def ledger_loop(settings: ResultsSettings, process: Process, ends: KafkaEnds) -> Callable[[], None]:
    """A loop that sweeps the ledger until the process stops; one is active at a time.

    Args:
        settings: Where everything is.
        process: Told of heartbeat and readiness.
        ends: Of the topics that claim frames, `CLAIMING`.
    """
    topics = settings.topics
    registry = ConfluentRegistry(settings.registry_url)
    codec = AvroCodec(registry, topics, SchemaLibrary.packaged())
    sweep = LedgerSweep(
        ends=ends,
        encode=lambda event: codec.encode(topics("events"), event),
        policy=settings.sweeps,
        clock=SystemClock(),
        metrics=LedgerMetrics(process.metrics.registry),
        topics=topics,
        instance_id=settings.instance_id,
    )
    keeper = Keeper(
        settings.database_url,
        [("ledger", sweep)],
        interval=timedelta(seconds=settings.ledger_sweep_seconds),
        retry=PATIENT,
        clock=SystemClock(),
        heartbeat=process.health.heartbeat("ledger", limit_seconds=600),
        lock=_LOCK,
    )
    process.health.ready["ledger"] = keeper.check
    return lambda: keeper.run(process.stop)
