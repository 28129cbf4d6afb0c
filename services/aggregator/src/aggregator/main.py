"""The aggregator process: settings, adapters, stage, application, run."""

import logging
from datetime import timedelta

import faust

from aggregator.adapters.acknowledgements import Fail
from aggregator.adapters.faust_app import SERVICE, Parts, create_app
from aggregator.adapters.runner import AppRunner
from aggregator.settings import AggregatorSettings
from aggregator.stage import AggregatorStage
from mesh.background import Background
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.dependencies import broker_watch
from mesh.freed_memory import share_one_arena
from mesh.kafka.ends import KafkaEnds
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary


def main() -> None:
    """Run one aggregator until it is told to stop."""
    share_one_arena()
    run_service(SERVICE, AggregatorSettings, run)


def run(settings: AggregatorSettings, process: Process) -> None:
    """Aggregate `recognitions` until `process.stop` is set."""
    _quieten_libraries()
    topics, clock = settings.topics, SystemClock()
    cipher = Cipher(settings.secret_key)
    codec = AvroCodec(ConfluentRegistry(settings.registry_url), topics, SchemaLibrary.packaged())
    stage = AggregatorStage(
        topics=topics,
        policy=settings.sighting_policy,
        clock=clock,
        instance_id=settings.instance_id,
    )
    ends = KafkaEnds(
        settings.kafka_bootstrap, [topics("recognitions")], instance_id=settings.instance_id
    )
    runner = AppRunner(
        stop=process.stop,
        heartbeat=process.health.heartbeat("loop"),
        broker=ends.check,
        stop_within=timedelta(seconds=settings.stop_seconds),
    )
    process.health.ready["faust"] = runner.readiness
    watch = broker_watch(process.health, ends.check)

    def create(fail: Fail) -> faust.App:
        return create_app(
            settings,
            Parts(
                stage=stage,
                codec=codec,
                cipher=cipher,
                clock=clock,
                metrics=process.metrics,
                folder=settings.aggregator_dir,
                standby_replicas=settings.standby_replicas,
                silence_after=settings.silence_after,
                idle=settings.idle_policy,
                bounds=ends.read,
                ready=process.health.ready,
                fail=fail,
            ),
        )

    with Background(SERVICE, process.stop) as background:
        background.start(watch.run)
        runner.run(create)


def _quieten_libraries() -> None:
    """Faust tells every service's start and stop; only what is wrong is news."""
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
