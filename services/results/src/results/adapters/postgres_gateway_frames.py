"""Identifiers of pushed frames of the last seconds, in an unlogged table of the gateways."""

from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from results.adapters.postgres_gateway import Database
from results.domain.queries import FirstFrame

_CLAIM = """
INSERT INTO results.frame_dedup AS held (camera_id, frame_id, request_id, expires_at)
VALUES (%(camera_id)s, %(frame_id)s, %(request_id)s, %(until)s)
ON CONFLICT (camera_id, frame_id) DO UPDATE
SET request_id = excluded.request_id,
    expires_at = excluded.expires_at, response = NULL
WHERE held.expires_at <= %(now)s
"""
_FIRST = """
SELECT request_id, response FROM results.frame_dedup
WHERE camera_id = %(camera_id)s AND frame_id = %(frame_id)s
"""
_ANSWERED = """
UPDATE results.frame_dedup SET response = %(response)s, expires_at = %(until)s
WHERE camera_id = %(camera_id)s AND frame_id = %(frame_id)s AND request_id = %(request_id)s
"""
_RELEASE = """
DELETE FROM results.frame_dedup
WHERE camera_id = %(camera_id)s AND frame_id = %(frame_id)s AND request_id = %(request_id)s
"""
_FORGET = """
DELETE FROM results.frame_dedup WHERE (camera_id, frame_id) IN (
    SELECT camera_id, frame_id FROM results.frame_dedup WHERE expires_at < %(now)s
    LIMIT 100 FOR UPDATE SKIP LOCKED)
"""


class PostgresFrameIdentifiers:
    """Claims of frame identifiers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, camera_id: str, frame_id: str, *, request_id: str, until: datetime
    ) -> FirstFrame | None:
        """Claim an identifier until a moment; the first frame if somebody has it already."""
        now = datetime.now(UTC)
        values = {
            "camera_id": camera_id,
            "frame_id": frame_id,
            "request_id": request_id,
            "until": until,
            "now": now,
        }
        with self._database.transaction() as connection:
            if connection.execute(_CLAIM, values).rowcount == 1:
                connection.execute(_FORGET, {"now": now})
                return None
            row = connection.execute(_FIRST, values).fetchone()
        if row is None:
            # It was given back in between: whoever asks again will get it.
            return FirstFrame(request_id=request_id)
        return FirstFrame(request_id=row["request_id"], response=row["response"])

    def answered(
        self, request_id: str, camera_id: str, frame_id: str, body: Any, until: datetime
    ) -> None:
        """Keep what was answered to the first frame until a moment."""
        response = Jsonb(body)
        self._run(_ANSWERED, request_id, camera_id, frame_id, response=response, until=until)

    def release(self, request_id: str, camera_id: str, frame_id: str) -> None:
        """Give a claim back: the frame will have no result, the client may try again."""
        self._run(_RELEASE, request_id, camera_id, frame_id)

    def _run(
        self, statement: str, request_id: str, camera_id: str, frame_id: str, **more: Any
    ) -> None:
        values = {"request_id": request_id, "camera_id": camera_id, "frame_id": frame_id}
        with self._database.transaction() as connection:
            connection.execute(statement.encode(), values | more)
