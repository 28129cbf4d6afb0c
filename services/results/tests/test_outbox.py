"""The outbox leaves in order, at least once, by one relay at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from typing_extensions import override

from mesh.codec import AvroCodec
from mesh.errors import RejectedRecordError, TransientError
from mesh.memory import InMemoryBroker, InMemoryProducer
from mesh.ports import NoMetrics, Producer
from mesh.record import Headers
from mesh.retry import RetryPolicy
from mesh.testing import CAMERA_ID, NOON
from mesh.topics import Topics
from results.adapters.outbox import OutboxRelay
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_audit import PostgresAuditOutbox
from results.domain.audit import subscribed

from .running import eventually

pytestmark = pytest.mark.integration

TOPIC = Topics()("cameras")


class Beats:
    """Counts the turns."""

    count = 0

    def beat(self) -> None:
        self.count += 1


class PickyProducer(InMemoryProducer):
    """Refuses one value for good, as a broker does that finds it too large."""

    @override
    def produce(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        if value == b"too large":
            raise RejectedRecordError("larger than the broker allows")
        super().produce(topic, key, value, headers)


@pytest.fixture
def broker() -> InMemoryBroker:
    return InMemoryBroker((TOPIC,), partitions=1)


def a_relay(
    database: str, producer: Producer, *, attempts: int | None = None, idle: float = 0.3
) -> OutboxRelay:
    return OutboxRelay(
        database,
        producer=producer,
        topics=Topics(),
        retry=RetryPolicy(
            initial=timedelta(milliseconds=10),
            maximum=timedelta(milliseconds=100),
            attempts=attempts,
        ),
        heartbeat=Beats(),
        metrics=NoMetrics(),
        idle=timedelta(seconds=idle),
    )


@contextmanager
def running(relay: OutboxRelay) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(60)


def put(database: str, *rows: tuple[str, bytes | None]) -> None:
    with psycopg.connect(database) as connection:
        for key, payload in rows:
            connection.execute(
                "INSERT INTO results.outbox (topic, key, event_type, payload, headers)"
                " VALUES ('cameras', %s, 'Camera', %s, '{\"traceparent\": \"00-a-b-01\"}')",
                (key, payload),
            )


def unsent(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM results.outbox WHERE sent_at IS NULL"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_rows_leave_in_order_with_tombstones_and_headers(
    database: str, broker: InMemoryBroker
) -> None:
    rows: list[tuple[str, bytes | None]] = [(f"cam_{n % 3}", b"%d" % n) for n in range(450)]
    put(database, *rows, ("cam_0", None))
    with running(a_relay(database, broker.producer())):
        eventually(lambda: unsent(database) == 0)
    records = broker.records(TOPIC)
    assert [(record.key, record.event) for record in records] == [*rows, ("cam_0", None)]
    assert dict(records[0].headers) == {"traceparent": b"00-a-b-01"}


def test_a_change_leaves_as_soon_as_it_is_committed(database: str, broker: InMemoryBroker) -> None:
    relay = a_relay(database, broker.producer(), idle=3600)
    with running(relay) as stop:
        eventually(lambda: relay.check() is None)
        for _ in range(3):
            put(database, ("cam_0", b"new"))
            eventually(lambda: unsent(database) == 0)
        stop.set()
        put(database, ("cam_0", b"wakes it"))


def test_rows_wait_for_a_broker_that_is_away(database: str, broker: InMemoryBroker) -> None:
    broker.available = False
    put(database, ("cam_0", b"1"))
    relay = a_relay(database, broker.producer())
    with running(relay):
        eventually(lambda: "unacknowledged" in (relay.check() or ""))
        assert unsent(database) == 1
        broker.available = True
        eventually(lambda: unsent(database) == 0)


def test_a_row_that_the_broker_never_takes_does_not_stop_the_others(
    database: str, broker: InMemoryBroker
) -> None:
    put(database, ("cam_0", b"1"), ("cam_0", b"too large"), ("cam_0", b"2"))
    with running(a_relay(database, PickyProducer(broker))):
        eventually(lambda: unsent(database) == 0)
    assert [record.event for record in broker.records(TOPIC)][-1] == b"2"
    with psycopg.connect(database) as connection:
        refused = connection.execute(
            "SELECT payload, refused FROM results.outbox WHERE refused IS NOT NULL"
        ).fetchall()
    assert refused == [(b"too large", "larger than the broker allows")]


def test_the_second_relay_takes_over_when_the_first_is_gone(
    database: str, broker: InMemoryBroker
) -> None:
    first, second = (a_relay(database, broker.producer()) for _ in range(2))
    with running(first):
        eventually(lambda: first.check() is None)
        with running(second):
            put(database, *((f"cam_{n}", b"x") for n in range(50)))
            eventually(lambda: unsent(database) == 0)
            assert len(broker.records(TOPIC)) == 50
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'results-outbox' AND datname = current_database()"
                )
            put(database, ("cam_0", b"after"))
            eventually(lambda: unsent(database) == 0)


def test_a_relay_without_a_database_gives_up_by_its_policy(broker: InMemoryBroker) -> None:
    dsn = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
    relay = a_relay(dsn, broker.producer(), attempts=2)
    with pytest.raises(TransientError, match="the outbox waits"):
        relay.run(threading.Event())


def test_an_audit_entry_leaves_once_the_broker_is_back(database: str) -> None:
    codec, topic = AvroCodec.in_memory(), Topics()("audit")
    broker = InMemoryBroker((topic,), partitions=1)
    broker.available = False
    entry = subscribed("tester", None, CAMERA_ID, NOON)
    pool = Database(database, size=1)
    pool.open()
    with running(a_relay(database, broker.producer())):
        PostgresAuditOutbox(pool, partial(codec.encode, topic)).keep([entry])
        pool.close()
        assert unsent(database) == 1
        broker.available = True
        eventually(lambda: unsent(database) == 0)
    (record,) = {record.event: record for record in broker.records(topic)}.values()
    assert record.key == "tester"
    assert record.event is not None
    assert codec.decode(topic, record.event) == entry
