"""A database as after months: millions of detections, the persons in them, their statistics."""

import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import groupby, islice
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal

from bench.figures import say
from bench.site import now
from mesh.clock import SystemClock
from mesh.testing import a_result_detection, a_stage_time
from results.adapters.keeper_statistics import ROLLED_DAYS, roll_up

CAMERAS, PERSONS, DAYS = 50, 2000, 60
_BLOCK = 20_000
_KNOWN_SHARE = 0.4
_STAGES = ("camera", "detection", "recognition", "aggregator")
_COLUMNS = (
    "detection_id", "received_at", "frame_key", "camera_id", "camera_name", "epoch",
    "sequence_number", "camera_timestamp", "purpose", "detection_type", "index", "x1", "y1", "x2",
    "y2", "frame_width", "frame_height", "confidence", "person_id", "similarity", "threshold",
    "decision", "quality", "landmarks", "track_id", "models", "stages",
)  # fmt: skip
_STATISTICS = """
INSERT INTO results.frame_statistics (span, at, camera_id, measure, bucket, count)
SELECT span, date_trunc(unit, now()) - number * interval '1 second' * span, camera_id,
       measure, CASE WHEN measure LIKE 'time:%%' THEN bucket ELSE 0 END, 100 + bucket
FROM (VALUES (60, 'minute', 60), (3600, 'hour', 168)) AS slots (span, unit, slots),
     generate_series(0, slots) AS number,
     unnest(%(cameras)s::text[]) AS camera_id,
     unnest(%(measures)s::text[]) AS measure,
     generate_series(5, 12) AS bucket
WHERE measure LIKE 'time:%%' OR bucket = 5
ON CONFLICT DO NOTHING
"""
_MEASURES = (
    "frames", "detections", "identified", "unknown",
    *(f"time:{stage}" for stage in ("total", *_STAGES)),
)  # fmt: skip
_PERSON = """
INSERT INTO results.persons
    (person_id, collection, name, status, created_at, updated_at, revision)
SELECT id, 'default', 'Person ' || id, 'active', now(), now(), 0 FROM unnest(%s::text[]) AS id
"""


def an_id(prefix: str, number: int) -> str:
    """The identifier with this number."""
    return f"{prefix}_00000000-0000-4000-8000-{number:012d}"


def detection_id(number: int) -> str:
    """The identifier of the detection with this number."""
    return f"det_{uuid5(NAMESPACE_URL, str(number))}"


def fill(dsn: str, rows: int) -> None:
    """Store so many detections by COPY, evenly over the days, the newest last, and what goes along.

    Each month's partition is filled before it is attached, which builds its indexes at once; what
    comes out is the same.

    Args:
        dsn: A migrated database without detections.
        rows: Detections.
    """
    start = now() - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / rows
    months = groupby(range(rows), key=lambda number: _month(start + number * step))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(_PERSON, [[an_id("per", number) for number in range(PERSONS)]])
        cameras = [an_id("cam", number) for number in range(CAMERAS)]
        connection.execute(_STATISTICS, {"cameras": cameras, "measures": list(_MEASURES)})
        for month, numbers in months:
            _fill_month(connection, month, _lines(numbers, start, step))
        connection.execute("ANALYZE results.detections")
        roll_up(SystemClock(), days=ROLLED_DAYS)(connection)
        connection.execute("ANALYZE results.frame_statistics")


def _month(at: datetime) -> date:
    return at.date().replace(day=1)


def _fill_month(connection: Connection, month: date, lines: Iterator[str]) -> None:
    """Replace the empty partition of a month, if there is one, by a full one."""
    table = Identifier("results", f"detections_{month:%Y_%m}")
    after = (month + timedelta(days=31)).replace(day=1)
    began = time.monotonic()
    connection.execute(SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(
        SQL("CREATE TABLE {} (LIKE results.detections INCLUDING DEFAULTS)").format(table)
    )
    columns = SQL(", ").join(map(Identifier, _COLUMNS))
    with connection.cursor() as cursor:
        with cursor.copy(SQL("COPY {} ({}) FROM STDIN").format(table, columns)) as target:
            while block := "".join(islice(lines, _BLOCK)):
                target.write(block)
        count = cursor.rowcount
    attach = "ALTER TABLE results.detections ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
    ends = (Literal(f"{month} 00:00+00"), Literal(f"{after} 00:00+00"))
    connection.execute(SQL(attach).format(table, *ends))
    say(f"  {month:%Y-%m}: {count:,} rows in {time.monotonic() - began:.0f} s")


def _lines(numbers: Iterable[int], start: datetime, step: timedelta) -> Iterator[str]:
    """Lines of COPY's text form."""
    chance = random.Random(1)  # noqa: S311 -- data, not secrets
    templates = _templates()
    return (_line(number, start + number * step, chance, templates) for number in numbers)


def _line(number: int, at: datetime, chance: random.Random, templates: Sequence[str]) -> str:
    key = uuid5(NAMESPACE_URL, str(number))
    camera = chance.randrange(CAMERAS)
    known = chance.random() < _KNOWN_SHARE
    moment = at.isoformat()
    person = an_id("per", chance.randrange(PERSONS)) if known else "\\N"
    decision, quality, landmarks, models, stages = templates
    return (
        f"{detection_id(number)}\t{moment}\t{key}\t"
        f"{an_id('cam', camera)}\tCamera {camera}\t1\t{number}\t"
        f"{moment}\tsurveillance\tface\t0\t100\t80\t180\t190\t640\t360\t"
        f"{chance.uniform(0.6, 1.0):.4f}\t{person}\t0.71\t0.5\t{decision}\t{quality}\t"
        f"{landmarks}\ttrk_{number // 50}\t{models}\t{stages}\n"
    )


def _templates() -> tuple[str, ...]:
    face = a_result_detection()
    decision = asdict(face.decision) if face.decision else {}
    decision["person_id"] = None
    quality = asdict(face.quality) if face.quality else {}
    stages = [asdict(a_stage_time(stage)) for stage in _STAGES]
    parts: tuple[Any, ...] = (
        decision,
        quality,
        [asdict(point) for point in face.landmarks],
        [],
        stages,
    )
    return tuple(json.dumps(part, default=str) for part in parts)
