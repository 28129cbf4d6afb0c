"""The keeper as a process: what the gateways decide leaves through it, kills included."""

import psycopg
import pytest

from mesh.testing import CAMERA_ID, a_camera

from .running import Installation, eventually

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def put(installation: Installation, first: int, count: int) -> None:
    topic = installation.settings.topics("cameras")
    with psycopg.connect(installation.database) as connection:
        for revision in range(first, first + count):
            payload = installation.codec.encode(topic, a_camera(revision=revision))
            connection.execute(
                "INSERT INTO results.outbox (topic, key, event_type, payload)"
                " VALUES ('cameras', %s, 'Camera', %s)",
                (CAMERA_ID, payload),
            )


def test_kill_9_of_the_relay_loses_nothing_and_keeps_the_order(
    installation: Installation,
) -> None:
    with installation.role("keeper") as process:
        put(installation, 0, 50)
        eventually(lambda: len(installation.rows(SENT)) == 50)
        put(installation, 50, 100)
        process.kill()
        process.wait()
    with installation.role("keeper"):
        eventually(lambda: len(installation.rows(SENT)) == 150)
    codec, topic = installation.codec, installation.settings.topics("cameras")
    records = installation.read("cameras", 150)
    revisions = [codec.decode(topic, record.event or b"").revision for record in records]
    assert sorted(set(revisions)) == list(range(150))
    firsts = [revisions.index(revision) for revision in range(150)]
    assert firsts == sorted(firsts)
    assert revisions[-1] == 149
    assert len(installation.rows(MONTHS)) == 4


SENT = "SELECT id FROM results.outbox WHERE sent_at IS NOT NULL"
MONTHS = "SELECT relid FROM pg_partition_tree('results.detections') WHERE isleaf"
