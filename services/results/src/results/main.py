"""Composition root of results: one package, three roles that scale apart."""

import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from mesh.clock import SystemClock
from mesh.dependencies import broker_watch
from mesh.freed_memory import share_one_arena
from mesh.kafka import KafkaProducer
from mesh.process import Process, run_service
from mesh.retry import PATIENT
from results.adapters.job_loop import job_loop
from results.adapters.keeper import Keeper
from results.adapters.keeper_erasures import erasure_reports
from results.adapters.keeper_frames import expired_frames
from results.adapters.keeper_jobs import all_jobs
from results.adapters.keeper_passwords import renewed_passwords
from results.adapters.ledger_loop import ledger_loop
from results.adapters.migrate import migrate_when_up
from results.adapters.objects import ObjectStore
from results.adapters.outbox import OutboxRelay
from results.adapters.running import run_all
from results.adapters.trace_parts import open_traces
from results.adapters.writer_loop import ends_of, writer_loop
from results.domain.changes import CLAIMING, SNAPSHOTS, TOPICS
from results.settings import ResultsSettings

EX_USAGE = 64
"""sysexits.h: the command was used wrongly."""


def main() -> None:
    """Run the role that the command line names until it is told to stop."""
    role = ROLES.get(sys.argv[1] if len(sys.argv) == 2 else "")
    if role is None:
        sys.stderr.write(f"usage: python -m results {'|'.join(ROLES)}\n")
        sys.exit(EX_USAGE)
    share_one_arena()
    run_service("results", ResultsSettings, role)


def run_gateway(settings: ResultsSettings, process: Process) -> None:
    """Serve REST, WebSocket and the live page."""
    from results.adapters.gateway import Gateway, GatewayConfig  # noqa: PLC0415 -- no web in others
    from results.adapters.known_models import known_models  # noqa: PLC0415 -- no models either

    migrate_when_up(settings.database_url, process.stop)
    config = GatewayConfig(
        dsn=settings.database_url,
        objects_url=settings.objects_url,
        host=settings.gateway_host,
        port=settings.gateway_port,
        jwt_secret=settings.jwt_secret,
        push_clients=settings.push_clients,
        allow_file_sources=settings.allow_file_sources,
        admission=settings.admission,
        callbacks=settings.callbacks,
        callbacks_signed=settings.callback_secret is not None,
        models=known_models(settings.model_registry),
        mesh=settings,
    )
    with open_traces(settings, process) as traces:
        Gateway(config=config, process=process, traces=traces).run()


def run_writer(settings: ResultsSettings, process: Process) -> None:
    """Store what the mesh publishes: rows in one loop, pictures in one that may wait for S3.

    A third loop looks after the jobs that the answers end.
    """
    migrate_when_up(settings.database_url, process.stop)
    rows = tuple(topic for topic in TOPICS if topic != SNAPSHOTS)
    ends, pictures = ends_of(settings, rows), ends_of(settings, (SNAPSHOTS,))
    loops = {"writer": (rows, ends), "writer-pictures": ((SNAPSHOTS,), pictures)}
    with open_traces(settings, process) as traces:
        writers = [writer_loop(settings, process, n, *parts, traces) for n, parts in loops.items()]
        watch = broker_watch(process.health, ends.check)
        jobs = job_loop(settings, process)
        run_all([*writers, jobs, lambda: watch.run(process.stop)], process)


def run_keeper(settings: ResultsSettings, process: Process) -> None:
    """Keep tables and objects in order, sweep the ledger, and send the outbox."""
    migrate_when_up(settings.database_url, process.stop)
    clock = SystemClock()
    objects, ends = ObjectStore(settings.objects_url), ends_of(settings, CLAIMING)
    jobs = [
        *all_jobs(settings.retention, objects, clock),
        erasure_reports(settings, clock),
        expired_frames(settings.objects_url, clock),
        *renewed_passwords(settings, clock),
    ]
    keeper = Keeper(
        settings.database_url,
        jobs,
        interval=timedelta(seconds=settings.keeper_interval_seconds),
        retry=PATIENT,
        clock=clock,
        heartbeat=process.health.heartbeat("keeper", limit_seconds=600),
    )
    relay = OutboxRelay(
        settings.database_url,
        producer=KafkaProducer(settings.kafka_bootstrap, instance_id=settings.instance_id),
        topics=settings.topics,
        retry=PATIENT,
        heartbeat=process.health.heartbeat("outbox"),
        metrics=process.metrics,
    )
    process.health.ready |= {"keeper": keeper.check, "outbox": relay.check}
    process.health.ready["objects"] = objects.check
    watch = broker_watch(process.health, ends.check)
    own = (keeper.run, relay.run, watch.run)
    loops = [partial(run, process.stop) for run in own]
    run_all([*loops, ledger_loop(settings, process, ends)], process)


ROLES: Mapping[str, Callable[[ResultsSettings, Process], None]] = {
    "gateway": run_gateway,
    "writer": run_writer,
    "keeper": run_keeper,
}
