"""The gateway's connection to PostgreSQL, and rows as events."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from mesh.events import (
    Camera,
    DetectionConfig,
    FrameHeader,
    Lane,
    Location,
    Person,
    Priority,
    Purpose,
    ResultDetection,
    StageTime,
    StreamConfig,
    StreamType,
    TimestampSource,
)
from mesh.structure import structurer
from results.domain.cameras import CameraEntry
from results.domain.errors import AwayError

Row = Mapping[str, Any]
Connection = psycopg.Connection[dict[str, Any]]
T = TypeVar("T")
_STREAM_FIELDS = frozenset(StreamConfig.__dataclass_fields__)
_OLD_LIMIT = "max_message_size"
"""Cameras that were registered before the stream's record had a place for it kept it so."""
_WAIT_SECONDS = 3.0
_PROBE_SECONDS = 0.5


class Database:
    """A pool of connections; every use is one transaction."""

    def __init__(self, dsn: str, *, size: int = 8) -> None:
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            dsn,
            min_size=1,
            max_size=size,
            timeout=_WAIT_SECONDS,
            kwargs={"row_factory": dict_row, "application_name": "sightline-gateway"},
            open=False,
        )

    def open(self) -> None:
        """Connect in the background."""
        self._pool.open()

    def close(self) -> None:
        """Give all connections back."""
        self._pool.close()

    def ping(self) -> None:
        """Return at once if the database answers.

        Raises:
            TransientError: It cannot be reached.
        """
        with self.transaction(_PROBE_SECONDS) as connection:
            connection.execute("SELECT 1")

    @contextmanager
    def transaction(self, wait_seconds: float = _WAIT_SECONDS) -> Iterator[Connection]:
        """One transaction, rolled back if the block raises.

        Raises:
            TransientError: The database cannot be reached.
        """
        try:
            with self._pool.connection(wait_seconds) as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise AwayError("database", f"the database cannot be reached: {error}") from error

    def rows(self, query: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of one query."""
        with self.transaction() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def row(self, query: str, values: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row of one query."""
        with self.transaction() as connection:
            return connection.execute(query.encode(), values).fetchone()


def camera_of(row: Row) -> CameraEntry:
    """A row of `results.cameras`."""
    stream = dict(row["stream"])
    if _OLD_LIMIT in stream:
        stream["max_message_bytes"] = stream.pop(_OLD_LIMIT)
    delimiter = stream.get("frame_delimiter")
    known = {name: stream[name] for name in _STREAM_FIELDS & stream.keys()}
    known["frame_delimiter"] = bytes.fromhex(delimiter) if delimiter else None
    known["password_encrypted"] = row["password_encrypted"]
    camera = Camera(
        camera_id=row["camera_id"],
        name=row["name"],
        location=_of(Location, row["location"]),
        node=row["node"],
        stream=_made(StreamConfig, known),
        detection=_made(DetectionConfig, row["detection"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        revision=row["revision"],
    )
    extras = {name: value for name, value in stream.items() if name not in _STREAM_FIELDS}
    return CameraEntry(camera=camera, extras=extras)


def person_of(row: Row) -> Person:
    """A row of `results.persons`."""
    plain = {name: row[name] for name in Person.__dataclass_fields__ if name in row}
    consent = plain["consent"]
    plain["consent"] = consent and _with_times(consent, "granted_at", "expires_at")
    plain["faces"] = [_with_times(face, "enrolled_at") for face in plain["faces"]]
    return _made(Person, plain)


def frame_of(row: Row) -> FrameHeader:
    """What a row of `results.detections` says of its frame."""
    return FrameHeader(
        frame_key=str(row["frame_key"]),
        camera_id=row["camera_id"],
        camera_name=row["camera_name"],
        epoch=row["epoch"],
        sequence_number=row["sequence_number"],
        frame_id=row["frame_id"],
        # What a stored detection no longer tells of its frame has the value of the usual case.
        lane=Lane.LIVE,
        priority=Priority.NORMAL,
        purpose=Purpose(row["purpose"]),
        stream_type=StreamType.RTSP,
        camera_timestamp=row["camera_timestamp"],
        timestamp_source=TimestampSource.ARRIVAL,
        received_timestamp=row["received_at"],
        width=row["frame_width"],
        height=row["frame_height"],
    )


def detection_of(row: Row) -> ResultDetection:
    """What a row of `results.detections` says of the detection itself."""
    plain = {name: row[name] for name in ResultDetection.__dataclass_fields__ if name in row}
    plain["box"] = {name: row[name] for name in ("x1", "y1", "x2", "y2")}
    plain["landmarks"] = plain.get("landmarks") or ()
    plain["rejections"] = plain.get("rejections") or ()
    return _made(ResultDetection, plain)


def stage_of(value: Mapping[str, Any]) -> StageTime:
    """An element of the column `stages`."""
    return _made(StageTime, _with_times(value, "started_at", "ended_at"))


def events_of(cls: type[T], values: Sequence[Mapping[str, Any]]) -> list[T]:
    """Elements of a JSON column as records without times."""
    return [_made(cls, value) for value in values]


def _made(cls: type[T], plain: Mapping[str, Any]) -> T:
    event: T = structurer(cast("Any", cls))(plain)
    return event


def _of(cls: type[T], plain: Mapping[str, Any] | None) -> T | None:
    return None if plain is None else _made(cls, plain)


def _with_times(plain: Mapping[str, Any], *names: str) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(plain[name]) for name in names if plain.get(name)}
    return {**plain, **times}
