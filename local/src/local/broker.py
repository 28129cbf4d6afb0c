"""Apache Kafka as one local process: KRaft, one node, bounded on disk."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from local import java
from local.network import LOOPBACK, answers
from local.process import ProcessSpec
from mesh.errors import ConfigurationError

# One platform is one cluster; the id only has to be a valid base64 UUID.
_CLUSTER = "c2lnaHRsaW5lLWxvY2FsMQ"
_MAIN = "kafka.Kafka"

_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %m (%c{1})%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.start.name = kafka.server.KafkaRaftServer
logger.start.level = info
"""


def properties(*, data: Path, port: int, controller: int) -> str:
    """The broker's settings: loopback only, replication 1, small segments, retention by bytes.

    Args:
        data: Where it keeps its logs.
        port: Where clients connect.
        controller: Where its own controller listens.
    """
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data / "logs"),
        "auto.create.topics.enable": "false",
        "num.partitions": "4",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "message.max.bytes": str(2 << 20),
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "2000",
        "offsets.retention.minutes": str(7 * 24 * 60),
        "log.segment.bytes": str(16 << 20),
        "log.retention.bytes": str(64 << 20),
        "log.retention.check.interval.ms": "30000",
        "log.segment.delete.delay.ms": "10000",
        "log.index.size.max.bytes": str(1 << 20),
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
    }
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        settings[f"{topic}.replication.factor"] = "1"
        settings[f"{topic}.num.partitions"] = "8"
        if topic != "offsets.topic":
            settings[f"{topic}.min.isr"] = "1"
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def broker(*, jars: Sequence[Path], data: Path, port: int, controller: int) -> ProcessSpec:
    """The broker's process.

    Args:
        jars: Its class path.
        data: Its folder.
        port: Where clients connect.
        controller: Where its own controller listens.
    """
    config = data / "server.properties"
    machine = [
        f"-Dlog4j2.configurationFile={data / 'log4j2.properties'}",
        "-cp",
        ":".join(map(str, jars)),
    ]
    temporary = data / "tmp"

    def prepare() -> None:
        data.mkdir(parents=True, exist_ok=True)
        config.write_text(properties(data=data, port=port, controller=controller))
        (data / "log4j2.properties").write_text(_LOGGING)
        if not (data / "logs" / "meta.properties").exists():
            _format(java.command(*machine, heap=256, temporary=temporary), config)

    return ProcessSpec(
        name="kafka",
        command=java.command(
            *machine, _MAIN, str(config), heap=512, temporary=temporary, busy=True
        ),
        environment=java.environment(),
        prepare=prepare,
        ready=lambda: _is_ready(port),
        ready_within=240.0,
        stop_within=30.0,
    )


def _format(machine: Sequence[str], config: Path) -> None:
    words = ["format", "-t", _CLUSTER, "-c", str(config), "--ignore-formatted"]
    done = subprocess.run(
        [*machine, "kafka.tools.StorageTool", *words],
        env=java.environment(),
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise ConfigurationError(f"formatting the broker's folder failed: {done.stderr[-2000:]}")


def _is_ready(port: int) -> bool:
    if not answers(port):
        return False
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=3).brokers)
    except KafkaException:
        return False
