"""Jobs in the real database: written by gateways, ended by the writer, looked after by one loop."""

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg.rows import dict_row

from mesh.clock import SystemClock
from mesh.errors import TransientError
from mesh.events import Answer
from mesh.health import Heartbeat
from mesh.record import TopicPartition
from mesh.retry import RetryPolicy
from mesh.testing import NOON, PERSON_ID, a_frame_result, a_record, a_result_detection
from results.adapters.forgetting import forget
from results.adapters.job_rounds import JobRounds
from results.adapters.keeper_jobs import expire, forget_embeddings
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_jobs import PostgresJobs
from results.adapters.request_metrics import JobMetrics
from results.adapters.writer_store import Move, PostgresStore
from results.domain.changes import changes_of
from results.domain.jobs import Callback, Job, JobState, render_job
from results.domain.rendering import render_result

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
"""When the test in hand began: the database compares deadlines with its own clock."""
SOURCE = TopicPartition("sightline.answers", 0)
URL = "https://app.example.com/done"


def a_job(number: int = 1, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "job_id": f"job_{number}",
        "request_id": f"req_{number}",
        "kind": "process_frame",
        "created_at": NOW,
        "deadline": NOW + timedelta(minutes=5),
        "camera_id": "cam_1",
        "frame_id": "frame_1",
    }
    return Job(**values | changes)


def an_answer(number: int = 1, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "request_id": f"req_{number}",
        "kind": "frame",
        "status": "success",
        "message": "done",
        "result": a_frame_result(detections=(a_result_detection(),)),
        "answered_at": NOON,
    }
    return Answer(**values | changes)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC))


@pytest.fixture
def jobs(database: str) -> Iterator[PostgresJobs]:
    pool = Database(database, size=2)
    pool.open()
    yield PostgresJobs(pool)
    pool.close()


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.Connection[dict[str, Any]].connect(
        database, autocommit=True, row_factory=dict_row
    ) as made:
        yield made


def write(database: str, *answers: Answer) -> None:
    """What the writer does with answers."""
    store = PostgresStore(database)
    try:
        start = store.positions([SOURCE])[SOURCE]
        batch = changes_of([("answers", a_record(answer)) for answer in answers])
        store.apply([Move(SOURCE, start, start + 1)], batch)
    finally:
        store.close()


def test_a_job_that_is_known_is_not_opened_again_unless_the_server_failed(
    jobs: PostgresJobs, database: str
) -> None:
    job = a_job(kind="command", deadline=NOW + timedelta(minutes=5))
    assert jobs.open(job)
    assert not jobs.open(job)
    write(database, an_answer(kind="command", status="error", code="PROCESSING_FAILED"))
    assert not jobs.open(replace(job, request_id="req_other"))
    later = NOW + timedelta(minutes=9)
    assert jobs.open(replace(job, deadline=later))
    anew = jobs.job("job_1", NOW)
    assert anew is not None
    assert (anew.state, anew.ending, anew.deadline) == (JobState.QUEUED, None, later)
    write(database, an_answer(kind="command"))
    assert not jobs.open(job)


class FakePost:
    """A receiver that fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.sent: list[tuple[str, str, Mapping[str, Any]]] = []

    def send(self, url: str, job_id: str, body: Mapping[str, Any]) -> None:
        self.sent.append((url, job_id, body))
        if len(self.sent) <= self.failures:
            raise TransientError("answered with 500")


class FakeLetters:
    def __init__(self) -> None:
        self.parked: list[tuple[str, str]] = []

    def park(self, job: Job, reason: str) -> None:
        self.parked.append((job.job_id, reason))


class Rounds:
    """The loop's turns, one by one."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]], post: FakePost) -> None:
        self.connection = connection
        self.letters = FakeLetters()
        self.answered_until: datetime | None = None
        self._rounds = JobRounds(
            "",
            post=post,
            letters=self.letters,
            answered_until=lambda _: self.answered_until,
            retry=RetryPolicy(),
            heartbeat=Heartbeat(SystemClock()),
            metrics=JobMetrics(CollectorRegistry()),
        )

    def turn(self) -> None:
        """Begin what is due, wait for it, and write down how it went."""
        row = self.connection.execute("SELECT now() AS began").fetchone()
        assert row is not None
        self._began = row["began"]
        with ThreadPoolExecutor(1) as pool:
            self._rounds.turn(self.connection, pool)
        self._rounds._settle(self.connection)

    def pause(self) -> timedelta | None:
        """How long after it failed the only callback is due, as far as that is still known."""
        row = self.connection.execute(
            "SELECT callback_due_at - %s AS pause FROM results.jobs", (self._began,)
        ).fetchone()
        assert row is not None
        pause: timedelta | None = row["pause"]
        return pause

    def later(self, seconds: float) -> None:
        """Let callbacks be due earlier, as if time had passed."""
        self.connection.execute(
            "UPDATE results.jobs SET callback_due_at = callback_due_at - %s",
            (timedelta(seconds=seconds),),
        )


def test_an_answer_ends_its_job_with_what_it_would_have_been_answered_at_once(
    jobs: PostgresJobs, database: str
) -> None:
    jobs.open(a_job())
    assert jobs.job("job_1", NOW) == a_job()
    jobs.started("job_1")
    answer = an_answer()
    write(database, answer, replace(answer, status="error", code="TOO_LATE"))
    job = jobs.job("req_1", NOW)
    assert job is not None
    assert job.state is JobState.COMPLETED
    assert answer.result is not None
    assert render_job(job, {})["result"] == render_result(answer.result, {})
    write(database, replace(answer, status="error", code="PROCESSING_FAILED"))
    assert jobs.job("job_1", NOW) == job
    jobs.drop("job_1")
    jobs.started("job_1")
    assert jobs.job("job_1", NOW) == job


def test_answers_to_nobodys_job_change_nothing(jobs: PostgresJobs, database: str) -> None:
    write(database, an_answer(7))
    assert jobs.job("req_7", NOW) is None
    jobs.open(a_job())
    jobs.drop("job_1")
    assert jobs.job("job_1", NOW) is None


def test_an_enrolment_that_was_rejected_is_a_failed_job(jobs: PostgresJobs, database: str) -> None:
    jobs.open(a_job(kind="enrollment"))
    write(
        database,
        an_answer(kind="enrollment", status="rejected", code="QUALITY_REJECTED", result=None),
    )
    job = jobs.job("req_1", NOW)
    assert job is not None
    assert job.ending is not None
    assert (job.state, job.ending.http_status) == (JobState.FAILED, 422)
    assert job.ending.body["error"]["code"] == "QUALITY_REJECTED"


def test_a_job_that_is_long_overdue_fails_at_whoever_asks(jobs: PostgresJobs) -> None:
    jobs.open(a_job())
    job = jobs.job("job_1", NOW + timedelta(minutes=5, seconds=61))
    assert job is not None
    assert job.ending is not None
    assert (job.state, job.ending.http_status) == (JobState.FAILED, 504)
    assert jobs.job("job_1", NOW) == job


def test_overdue_jobs_fail_once_every_answer_is_in_and_in_any_case_after_a_while(
    jobs: PostgresJobs, connection: psycopg.Connection[dict[str, Any]]
) -> None:
    rounds = Rounds(connection, FakePost())
    jobs.open(a_job(1, deadline=NOW - timedelta(seconds=6)))
    jobs.open(a_job(2, deadline=NOW - timedelta(seconds=61)))
    jobs.open(a_job(3))
    rounds.turn()
    states = {n: jobs.job(f"job_{n}", NOW) for n in (1, 2, 3)}
    assert [job.state for job in states.values() if job] == ["queued", "failed", "queued"]
    rounds.answered_until = datetime.now(UTC)
    rounds.turn()
    first = jobs.job("job_1", NOW)
    assert first is not None
    assert first.state is JobState.FAILED
    third = jobs.job("job_3", NOW)
    assert third is not None
    assert third.state is JobState.QUEUED


def test_a_callback_is_posted_once_its_job_has_ended(
    jobs: PostgresJobs, database: str, connection: psycopg.Connection[dict[str, Any]]
) -> None:
    post = FakePost()
    rounds = Rounds(connection, post)
    jobs.open(a_job(callback=Callback(url=URL)))
    rounds.turn()
    assert not post.sent
    write(database, an_answer())
    rounds.turn()
    rounds.turn()
    ((url, job_id, body),) = post.sent
    assert (url, job_id, body["status"]) == (URL, "job_1", "completed")
    assert len(body["detections"]) == 1
    job = jobs.job("job_1", NOW)
    assert job is not None
    assert job.callback == Callback(url=URL, state="delivered")


def test_a_callback_that_fails_four_times_is_a_dead_letter(
    jobs: PostgresJobs, database: str, connection: psycopg.Connection[dict[str, Any]]
) -> None:
    post = FakePost(failures=9)
    rounds = Rounds(connection, post)
    jobs.open(a_job(callback=Callback(url=URL)))
    write(database, an_answer())
    for attempts, delay in enumerate((1, 2, 4, 0), start=1):
        rounds.turn()
        assert len(post.sent) == attempts
        assert (rounds.pause() or timedelta(0)) >= timedelta(seconds=delay)
        rounds.later(delay)
    rounds.turn()
    assert len(post.sent) == 4
    assert rounds.letters.parked == [("job_1", "callback_failed: answered with 500")]
    job = jobs.job("job_1", NOW)
    assert job is not None
    assert job.callback == Callback(url=URL, state="failed", attempts=4, error="answered with 500")

    again = an_answer(kind="callback", result=None)
    post.failures = 0
    write(database, again)
    rounds.turn()
    rounds.turn()
    assert len(post.sent) == 5
    job = jobs.job("job_1", NOW)
    assert job is not None
    assert job.callback == Callback(url=URL, state="delivered")
    write(database, again)
    rounds.turn()
    assert len(post.sent) == 5


def test_an_erased_person_leaves_no_trace_in_jobs(
    jobs: PostgresJobs, database: str, connection: psycopg.Connection[dict[str, Any]]
) -> None:
    for number in (1, 2):
        jobs.open(a_job(number))
    write(database, an_answer(1))
    forget(connection, PERSON_ID)
    connection.execute(
        "INSERT INTO results.erased_persons (person_id, tombstone_offset) VALUES (%s, 1)",
        (PERSON_ID,),
    )
    write(database, an_answer(2))
    stored = connection.execute("SELECT to_jsonb(j)::text AS row FROM results.jobs j").fetchall()
    assert len(stored) == 2
    assert not any(PERSON_ID in row["row"] for row in stored)
    job = jobs.job("job_2", NOW)
    assert job is not None
    (detection,) = render_job(job, {})["result"]["detections"]
    assert detection["person"] is None
    assert detection["metadata"]["decision"]["identified"] is False


def test_jobs_and_their_embeddings_are_kept_for_their_time(
    jobs: PostgresJobs, database: str, connection: psycopg.Connection[dict[str, Any]]
) -> None:
    jobs.open(a_job())
    write(database, an_answer())
    connection.execute("UPDATE results.jobs SET embeddings = '{\"det_1\": [0.5]}'")
    clock, day = SystemClock(), timedelta(days=1)
    assert forget_embeddings(day, clock)(connection) == 0
    assert forget_embeddings(-day, clock)(connection) == 1
    assert expire("jobs", "created_at", day, clock)(connection) == 0
    assert expire("jobs", "created_at", -day, clock)(connection) == 1
