"""Cameras in the database: what older versions stored, their passwords, the counts of sessions."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.errors import ConfigurationError
from mesh.events import Camera, CameraStatus, Lane, StreamConfig, StreamState, StreamType
from mesh.identity import first_epoch
from mesh.record import TopicPartition
from mesh.testing import CAMERA_ID, NOON, a_camera, a_record
from mesh.topics import Topics
from results.adapters.keeper_passwords import renew_passwords
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_cameras import PostgresCameras
from results.adapters.postgres_gateway_sessions import PostgresSessions
from results.adapters.writer_store import Move, PostgresStore
from results.domain.camera_report import SessionCounts, render_stream
from results.domain.cameras import CameraEntry
from results.domain.changes import changes_of

from .stored_events import a_result

pytestmark = pytest.mark.integration
TOPIC = Topics()("cameras")
CODEC = AvroCodec.in_memory(Topics())
SOURCE = TopicPartition("sightline.results", 0)
DAYS = timedelta(days=2)


def encode(camera: Camera) -> bytes:
    return CODEC.encode(TOPIC, camera)


@pytest.fixture
def pool(database: str) -> Iterator[Database]:
    made = Database(database, size=1)
    made.open()
    yield made
    made.close()


@pytest.fixture
def cameras(pool: Database) -> PostgresCameras:
    return PostgresCameras(pool, encode)


def test_cameras_of_older_versions_are_read_into_the_fields_of_today(
    cameras: PostgresCameras, database: str
) -> None:
    cameras.add(CameraEntry(camera=a_camera(stream=StreamConfig(stream_type=StreamType.WEBSOCKET))))
    old = {
        "stream_type": "WEBSOCKET", "url": "ws://10.0.0.8/stream", "headers": {}, "loop": True,
        "timeout_seconds": 10.0, "protocol": "binary", "resolution": "1280x720",
        "ping_interval": 20, "max_message_size": 4096, "keepalive": False, "backend": "v4l2",
    }  # fmt: skip
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE results.cameras SET stream = %s", (Jsonb(old),))
    entry = cameras.camera(CAMERA_ID)
    assert entry is not None
    assert entry.extras == {"backend": "v4l2"}
    stream = entry.camera.stream
    assert (stream.resolution, stream.ping_interval, stream.max_message_bytes) == (
        "1280x720", 20, 4096,
    )  # fmt: skip
    assert stream.keepalive is False
    shown = render_stream(stream, entry.extras)
    assert (shown["max_message_size"], shown["ws_url"]) == (4096, "ws://10.0.0.8/stream")


def test_passwords_move_to_the_first_key_and_the_old_one_can_go(
    cameras: PostgresCameras, database: str
) -> None:
    old, new, lost = (Cipher.new_key() for _ in range(3))
    tokens = {
        "cam_old": Cipher(SecretStr(old)).encrypt(b"hunter2"),
        "cam_new": Cipher(SecretStr(new)).encrypt(b"fresh"),
        "cam_lost": Cipher(SecretStr(lost)).encrypt(b"gone"),
        "cam_none": None,
    }
    for camera_id, token in tokens.items():
        camera = a_camera(camera_id=camera_id)
        stream = replace(camera.stream, password_encrypted=token)
        cameras.add(CameraEntry(camera=replace(camera, stream=stream)))
    job = renew_passwords(Cipher(SecretStr(f"{new},{old}")), encode, ManualClock(NOON))
    with psycopg.connect(database, autocommit=True) as connection:
        assert job(connection) == 1
        assert job(connection) == 0, "nothing is left to renew"
        announced = connection.execute(
            "SELECT key, payload FROM results.outbox ORDER BY id DESC LIMIT 1"
        ).fetchone()
    assert announced is not None
    assert announced[0] == "cam_old"
    event: Any = CODEC.decode(TOPIC, announced[1])
    alone = Cipher(SecretStr(new))
    assert alone.decrypt(event.stream.password_encrypted) == b"hunter2"
    entries = {key: cameras.camera(key) for key in tokens}
    revisions = {key: entry.camera.revision for key, entry in entries.items() if entry}
    assert revisions == {"cam_old": 1, "cam_new": 0, "cam_lost": 0, "cam_none": 0}
    with pytest.raises(ConfigurationError):
        alone.decrypt(tokens["cam_old"] or b"")


def test_the_counts_of_a_session_are_those_of_all_its_connections_and_of_no_other(
    pool: Database, database: str
) -> None:
    store = PostgresStore(database)
    begun = NOON - timedelta(minutes=1)
    first, second = (first_epoch(begun + timedelta(seconds=late)) for late in (1, 30))
    before = first_epoch(begun - timedelta(seconds=1))
    frames = [
        {"epoch": before, "received_timestamp": begun - timedelta(hours=2)},
        *({"epoch": first} for _ in range(5)),
        *({"epoch": second, "lane": Lane.EVIDENCE} for _ in range(2)),
        {"epoch": second + 1, "lane": Lane.REQUEST, "received_timestamp": begun - DAYS},
    ]
    records = [
        ("results", a_record(a_result(number, frame=frame), offset=number))
        for number, frame in enumerate(frames)
    ]
    start = store.positions([SOURCE])[SOURCE]
    store.apply([Move(SOURCE, start, start + 1)], changes_of(records))
    store.close()
    status = CameraStatus(
        camera_id=CAMERA_ID, camera_name="Door", instance_id="one", state=StreamState.LIVE,
        epoch=second, started_at=begun, established_at=NOON, updated_at=NOON,
    )  # fmt: skip
    connecting = replace(status, camera_id="cam_2", epoch=None)
    old = replace(status, camera_id="cam_3", started_at=None)
    for later in (timedelta(minutes=1), timedelta(hours=5), timedelta(days=3)):
        sessions = PostgresSessions(pool, ManualClock(NOON + later))
        assert sessions.counts([status, connecting, old]) == {
            CAMERA_ID: SessionCounts(processed=7, detections=7),
            "cam_3": SessionCounts(processed=0, detections=None),
        }
    assert sessions.counts([]) == {}
