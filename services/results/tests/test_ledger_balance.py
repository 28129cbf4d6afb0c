"""The database counts what the domain counts: every captured number once, by precedence."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from mesh.errors import TransientError
from mesh.testing import CAMERA_ID, NOON
from results.adapters.ledger_sql import measure, remainders, watches
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_ledger import PostgresLedger
from results.adapters.writer_sql import write_book
from results.domain.balance import Balance, balance
from results.domain.ledger import BLOCK, Entry, EpochKey, fold
from results.domain.numbers import NumberSet
from results.domain.queries import LedgerQuery, Paging

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
DAY = LedgerQuery(since=NOON - 12 * HOUR, until=NOON + 12 * HOUR)
REASONS = {
    "captured": [""],
    "processed": [""],
    "failed": ["poison", "unreadable"],
    "shed": ["max_age", "superseded"],
    "lost": ["crash", "retention", "unacknowledged"],
}


@pytest.fixture
def ledger(database: str) -> Iterator[PostgresLedger]:
    connections = Database(database, size=1)
    connections.open()
    yield PostgresLedger(connections)
    connections.close()


def write(database: str, *entries: Entry) -> None:
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        write_book(cursor, fold(entries))


def an_entry(outcome: str, first: int, last: int, hours: float = 0, **changes: str) -> Entry:
    return Entry(
        session=EpochKey(changes.get("camera_id", CAMERA_ID), 1),
        lane="live",
        outcome=outcome,
        reason=changes.get("reason", REASONS[outcome][0]),
        numbers=NumberSet.of([(first, last + 1)]),
        at=NOON + hours * HOUR,
    )


def random_entries(chance: random.Random, count: int) -> list[Entry]:
    entries = []
    for _ in range(count):
        outcome = chance.choice(list(REASONS))
        first = chance.randrange(3 * BLOCK)
        entries.append(
            Entry(
                session=EpochKey(f"cam_{chance.randrange(2)}", chance.randrange(1, 3)),
                lane="live",
                outcome=outcome,
                reason=chance.choice(REASONS[outcome]),
                numbers=NumberSet.of([(first, first + chance.choice([1, 7, BLOCK]))]),
                at=NOON + timedelta(seconds=chance.randrange(60)),
            )
        )
    return entries


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("seed", range(1, 5))
def test_the_database_counts_as_the_domain_does(
    database: str, ledger: PostgresLedger, seed: int, *, measured: bool
) -> None:
    calm = (("processed", 0, 99), ("shed", 100, BLOCK + 5), ("failed", BLOCK + 6, BLOCK + 6))
    entries = [an_entry(*claim, camera_id="cam_calm") for claim in calm]
    entries += random_entries(random.Random(seed), 60)
    write(database, *entries)
    if measured:
        with psycopg.connect(database) as connection, connection.cursor() as cursor:
            watched = list(watches(connection).values())
            rests = remainders(connection, watched)
            balanced = [
                replace(each, balanced_below=left.lowest if left else each.session.highest + 1)
                for each in watched
                for left in [rests[each.key].unclaimed]
            ]
            measure(cursor, balanced)
            cursor.execute("SELECT count(size) FROM results.ledger")
            assert cursor.fetchone() != (0,)
        more = random_entries(random.Random(-seed), 10)
        write(database, *more)
        entries += more
    book = fold(entries)
    found = {
        EpochKey(camera.camera_id, epoch.epoch): epoch.balance
        for camera in ledger.balances(DAY).items
        for epoch in camera.epochs
    }
    assert found == {
        key: balance(book, {key: NumberSet.of([(0, session.highest + 1)])})
        for key, session in book.sessions.items()
    }


def test_a_time_is_accounted_for_in_whole_blocks(database: str, ledger: PostgresLedger) -> None:
    write(
        database,
        an_entry("processed", 0, 9),
        an_entry("processed", BLOCK, BLOCK + 9, 1),
        an_entry("processed", 3 * BLOCK, 3 * BLOCK + 9, 2),
    )

    def between(first: float, last: float) -> Balance:
        query = LedgerQuery(since=NOON + first * HOUR, until=NOON + last * HOUR)
        (camera,) = ledger.balances(query).items
        return camera.balance

    assert between(0, 3) == Balance(3 * BLOCK + 10, 30, open=3 * BLOCK - 20)
    assert between(1, 2) == Balance(BLOCK, 10, open=BLOCK - 10)
    assert between(1, 3) == Balance(2 * BLOCK + 10, 20, open=2 * BLOCK - 10)
    assert ledger.balances(LedgerQuery(since=NOON + 3 * HOUR, until=NOON + 4 * HOUR)).items == []


def test_cameras_are_paged_and_one_can_be_asked_for(database: str, ledger: PostgresLedger) -> None:
    names = [f"cam_{n}" for n in range(3)]
    write(database, *(an_entry("captured", 0, n, camera_id=name) for n, name in enumerate(names)))
    paging = Paging(page=2, page_size=2)
    page = ledger.balances(LedgerQuery(since=DAY.since, until=DAY.until, paging=paging))
    assert [camera.camera_id for camera in page.items] == ["cam_2"]
    assert not page.has_more
    page = ledger.balances(LedgerQuery(since=DAY.since, until=DAY.until, camera_id="cam_1"))
    assert [(camera.camera_id, camera.balance.open) for camera in page.items] == [("cam_1", 2)]


def test_a_book_without_its_database_is_transient() -> None:
    connections = Database("postgresql://nobody@127.0.0.1:1/none", size=1)
    with pytest.raises(TransientError):
        PostgresLedger(connections).balances(DAY)
