"""The parts of the loop that looks after jobs, put together."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.deadletters import DeadLetters
from mesh.errors import TransientError
from mesh.events import Answer
from mesh.kafka import KafkaProducer
from mesh.kafka.ends import KafkaEnds
from mesh.logs import package_version
from mesh.process import Process
from mesh.record import RawRecord, Record
from mesh.registry import ConfluentRegistry
from mesh.retry import PATIENT
from mesh.schemas import SchemaLibrary
from results.adapters.callback_post import CallbackPost
from results.adapters.callback_targets import CallbackTargets
from results.adapters.job_rounds import JobRounds, Post
from results.adapters.request_metrics import JobMetrics
from results.adapters.writer_jobs import CALLBACK_AGAIN
from results.domain.jobs import Job
from results.settings import ResultsSettings

_FLUSH = timedelta(seconds=10)
_ANSWER_SECONDS = 2.0
_ORIGIN = "answers"
"""Where the record goes that posts a callback again."""
_POSITIONS = "SELECT partition, next_offset FROM results.writer_offsets WHERE topic = %s"


def job_loop(settings: ResultsSettings, process: Process) -> Callable[[], None]:
    """A loop that ends overdue jobs and sends callbacks until the process stops.

    Raises:
        ConfigurationError: A key is missing.
    """
    rounds = JobRounds(
        settings.database_url,
        post=_post(settings),
        letters=_Letters(settings),
        answered_until=_answered_until(settings),
        retry=PATIENT,
        heartbeat=process.health.heartbeat("jobs", limit_seconds=120),
        metrics=JobMetrics(process.metrics.registry),
    )
    process.health.ready["jobs"] = rounds.check
    return lambda: rounds.run(process.stop)


def _answered_until(settings: ResultsSettings) -> "AnsweredUntil":
    topic = settings.topics("answers")
    ends = KafkaEnds(
        settings.kafka_bootstrap,
        [topic],
        instance_id=settings.instance_id,
        within=timedelta(seconds=_ANSWER_SECONDS),
    )
    return AnsweredUntil(ends, topic)


class AnsweredUntil:
    """The moment up to which every answer on the topic has been taken by the writers."""

    def __init__(self, ends: KafkaEnds, topic: str) -> None:
        self._ends = ends
        self._topic = topic

    def __call__(self, connection: psycopg.Connection[dict[str, Any]]) -> datetime | None:
        """That moment, UTC, or nothing while some answers are on their way or the broker is."""
        asked_at = datetime.now(UTC)
        try:
            bounds = self._ends.read()
        except TransientError:
            return None
        rows = connection.execute(_POSITIONS, (self._topic,)).fetchall()
        taken = {row["partition"]: row["next_offset"] for row in rows}
        return (
            asked_at
            if all(taken.get(place.partition, 0) >= end for place, (_, end) in bounds.items())
            else None
        )


class _Letters:
    def __init__(self, settings: ResultsSettings) -> None:
        self._topic = settings.topics(_ORIGIN)
        self._codec = AvroCodec(
            ConfluentRegistry(settings.registry_url), settings.topics, SchemaLibrary.packaged()
        )
        self._producer = KafkaProducer(settings.kafka_bootstrap, instance_id=settings.instance_id)
        self._letters = DeadLetters(
            self._producer,
            Cipher(settings.secret_key),
            topic=settings.topics("dead-letters"),
            service="results",
            version=package_version("results"),
        )

    def park(self, job: Job, reason: str) -> None:
        """A letter whose original, published again, makes the callback due again.

        Neither it nor its letter holds what the callback says: that is in the job.
        """
        now = SystemClock().now()
        again = Answer(
            request_id=job.request_id,
            kind=CALLBACK_AGAIN,
            status="success",
            message=f"the callback of {job.job_id} is to be posted again",
            answered_at=now,
        )
        content = self._codec.encode(self._topic, again)
        record: RawRecord = Record(
            topic=self._topic,
            partition=0,
            offset=0,
            key=job.request_id,
            event=content,
            headers={"job-id": job.job_id.encode()},
            timestamp=now,
        )
        self._letters.write(record, content, reason)
        self._producer.flush(_FLUSH)


class _NoSecret:
    def send(self, url: str, job_id: str, body: Mapping[str, Any]) -> None:
        del url, job_id, body
        raise TransientError("SIGHTLINE_CALLBACK_SECRET is not set")


def _post(settings: ResultsSettings) -> Post:
    if settings.callback_secret is None:
        return _NoSecret()
    secret = settings.callback_secret.get_secret_value().encode()
    return CallbackPost(CallbackTargets(settings.callbacks), secret)
