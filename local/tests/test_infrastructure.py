import contextlib
import os
import time
import uuid
from pathlib import Path

import httpx2
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from local.infrastructure import Infrastructure, Ports
from local.jars import provide
from local.layout import Layout, state_root
from local.network import free_ports
from local.process import BEHIND
from local.supervisor import Supervisor

pytestmark = pytest.mark.integration


def test_broker_keeps_a_record_and_creates_no_topic_by_itself(kafka: str) -> None:
    topic = f"t-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(60)
    producer = Producer({"bootstrap.servers": kafka, "compression.type": "zstd"})
    producer.produce(topic, b"value")
    assert producer.flush(60) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    with contextlib.closing(consumer):
        consumer.subscribe([topic])
        value = first_value(consumer)
    assert value == b"value"
    producer.list_topics("never-created", timeout=60)
    assert "never-created" not in admin.list_topics(timeout=60).topics


def first_value(consumer: Consumer) -> bytes | None:
    """The first record, however often the client says before that it cannot read yet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        record = consumer.poll(1)
        if record is not None and record.error() is None:
            value: bytes | None = record.value()
            return value
    return None


def test_registry_takes_a_schema(registry: str) -> None:
    url = f"{registry}/subjects/s-{uuid.uuid4().hex}/versions"
    answer = httpx2.post(url, json={"schema": '{"type": "string"}'}, timeout=60, trust_env=False)
    assert answer.json()["id"] > 0


def test_database_has_half_vectors(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        row = connection.execute("SELECT '[1,2]'::halfvec <-> '[1,0]'::halfvec").fetchone()
    assert row == (2.0,)


def test_what_the_database_works_with_stands_back(postgres: str) -> None:
    with psycopg.connect(postgres) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row
        niceness = os.getpriority(os.PRIO_PROCESS, row[0])
    assert niceness == min(os.getpriority(os.PRIO_PROCESS, 0) + BEHIND, 19)


@pytest.mark.slow
def test_registry_remembers_schemas_and_broker_topics_across_a_restart(tmp_path: Path) -> None:
    jars = provide(Layout.at(state_root(os.environ)).cache, report=print)
    parts = Infrastructure(tmp_path / "data", jars, Ports(*free_ports(5)))
    with _supervised(parts, tmp_path):
        url = f"{parts.registry_url}/subjects/kept/versions"
        first = httpx2.post(url, json={"schema": '"long"'}, timeout=60, trust_env=False).json()
        admin = AdminClient({"bootstrap.servers": parts.bootstrap, "log_level": 0})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(60)
    # Other ports than before: what is kept must not depend on them.
    parts = Infrastructure(tmp_path / "data", jars, Ports(*free_ports(5)))
    with _supervised(parts, tmp_path):
        answer = httpx2.get(
            f"{parts.registry_url}/schemas/ids/{first['id']}", timeout=60, trust_env=False
        )
        assert answer.json()["schema"] == '"long"'
        admin = AdminClient({"bootstrap.servers": parts.bootstrap, "log_level": 0})
        assert "kept" in admin.list_topics(timeout=60).topics


def _supervised(parts: Infrastructure, folder: Path) -> Supervisor:
    specs = [parts.kafka(), parts.registry()]
    return Supervisor(specs, log=folder / "log", run=folder / "run", say=print)
