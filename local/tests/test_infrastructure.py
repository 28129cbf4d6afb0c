import contextlib
import uuid

import httpx
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.integration


def test_broker_keeps_a_record_and_creates_no_topic_by_itself(kafka: str) -> None:
    topic = f"t-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
    producer = Producer({"bootstrap.servers": kafka, "compression.type": "zstd"})
    producer.produce(topic, b"value")
    assert producer.flush(10) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    with contextlib.closing(consumer):
        consumer.subscribe([topic])
        record = consumer.poll(20)
    assert record is not None
    assert record.value() == b"value"
    producer.list_topics("never-created", timeout=5)
    assert "never-created" not in admin.list_topics(timeout=5).topics


def test_registry_takes_a_schema(registry: str) -> None:
    url = f"{registry}/subjects/s-{uuid.uuid4().hex}/versions"
    answer = httpx.post(url, json={"schema": '{"type": "string"}'}, trust_env=False)
    assert answer.json()["id"] > 0


def test_database_has_half_vectors(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        row = connection.execute("SELECT '[1,2]'::halfvec <-> '[1,0]'::halfvec").fetchone()
    assert row == (2.0,)
