"""Puts the stored passwords of cameras under the first key, so that an older one can go."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import dict_row

from mesh.clock import Clock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.errors import ConfigurationError
from mesh.events import Camera
from mesh.logs import get_logger
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from results.adapters.keeper import Job
from results.adapters.outbox_sql import LEAVE, outbox_row
from results.adapters.postgres_gateway import camera_of

_log = get_logger("keeper")


def renewed_passwords(settings: MeshSettings, clock: Clock) -> Sequence[tuple[str, Job]]:
    """The job with its name, where there is a key; it encodes with the schemas of the registry."""
    if settings.secret_key is None:
        return ()
    registry = ConfluentRegistry(settings.registry_url)
    codec = AvroCodec(registry, settings.topics, SchemaLibrary.packaged())
    encode = partial(codec.encode, settings.topics("cameras"))
    return (("renewed_passwords", renew_passwords(Cipher(settings.secret_key), encode, clock)),)


def renew_passwords(cipher: Cipher, encode: Callable[[Camera], bytes], clock: Clock) -> Job:
    """Encrypt again what another than the first key opens, and announce it; returns how many."""

    def job(connection: psycopg.Connection[Any]) -> int:
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_SEALED).fetchall()
        return sum(renew(connection, row) for row in rows)

    def renew(connection: psycopg.Connection[Any], row: dict[str, Any]) -> int:
        try:
            token = cipher.renew(bytes(row["password_encrypted"]))
        except ConfigurationError as error:
            _log.error("password_unreadable", camera_id=row["camera_id"], message=str(error))
            return 0
        if token is None:
            return 0
        revision = row["revision"] + 1
        changed = {"password_encrypted": token, "updated_at": clock.now(), "revision": revision}
        row = row | changed
        payload = encode(camera_of(row).camera)
        with connection.transaction():
            done = connection.execute(_RENEW, row).rowcount
            if done:
                announced = outbox_row("cameras", row["camera_id"], payload, event_type="Camera")
                connection.execute(LEAVE, announced)
        return done

    return job


_SEALED = """
SELECT * FROM results.cameras WHERE deleted_at IS NULL AND password_encrypted IS NOT NULL
"""
_RENEW = """
UPDATE results.cameras
SET password_encrypted = %(password_encrypted)s, updated_at = %(updated_at)s,
    revision = %(revision)s
WHERE camera_id = %(camera_id)s AND revision = %(revision)s - 1 AND deleted_at IS NULL
"""
