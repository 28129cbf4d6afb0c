"""`kill -9` of every service in turn, and records that can never be processed."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.e2e.observer import Mesh, wait_for

from mesh.events import FrameCaptured
from mesh.record import Record
from results.domain.ledger import PRECEDENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

VICTIMS = ("camera", "detection", "recognition", "aggregator", "writer", "keeper", "gateway")
FRAMES = ("frames.live", "frames.urgent", "frames.request", "frames.evidence")


@pytest.fixture(scope="module")
def cameras(mesh: Mesh, small_clip: Path) -> Iterator[list[str]]:
    """Two running cameras of 320 x 180 at 0.5 frames/s."""
    running = [mesh.add_file_camera(f"Door {n}", str(small_clip), 0.5) for n in (1, 2)]
    yield running
    for camera_id in running:
        mesh.http.delete(f"/cameras/{camera_id}")


def frames_of(mesh: Mesh, cameras: list[str]) -> dict[str, Record[FrameCaptured]]:
    """Every frame record of these cameras by frame_key."""
    topics = mesh.read(*FRAMES)
    return {
        record.event.frame.frame_key: record
        for records in topics.values()
        for record in records
        if record.event.frame.camera_id in cameras
    }


def outcomes(mesh: Mesh, cameras: list[str]) -> dict[str, set[str]]:
    """What the results say and the books hold of each frame, by `camera/epoch/sequence`."""
    found: dict[str, set[str]] = defaultdict(set)
    rows = mesh.sql(
        """
        SELECT camera_id, epoch, number, outcome
        FROM results.ledger, unnest(numbers) AS span,
             generate_series(lower(span), upper(span) - 1) AS number
        WHERE camera_id = ANY(%s) AND outcome <> 'captured'
        """,
        cameras,
    )
    for camera_id, epoch, number, outcome in rows:
        found[f"{camera_id}/{epoch}/{number}"].add(outcome)
    return found


def place(record: Record[FrameCaptured]) -> str:
    frame = record.event.frame
    return f"{frame.camera_id}/{frame.epoch}/{frame.sequence_number}"


def results_per_frame(mesh: Mesh, cameras: list[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for record in mesh.read("results")["results"]:
        if record.event.frame.camera_id in cameras:
            found[record.event.frame.frame_key].append(record.event)
    return found


def test_every_frame_has_exactly_one_outcome_whoever_is_killed(
    mesh: Mesh, cameras: list[str]
) -> None:
    wait_for(lambda: results_per_frame(mesh, cameras), 60, "no results before the first kill")
    for victim in VICTIMS:
        before = len(results_per_frame(mesh, cameras))
        old = mesh.installation.pid(victim)
        mesh.installation.kill(victim)
        wait_for(partial(_reborn, mesh, victim, old), 30, f"{victim} did not come back")
        mesh.installation.await_ready(victim, 90)
        wait_for(
            partial(_flows, mesh, cameras, before),
            90, f"nothing flows after the end of {victim}",
        )  # fmt: skip
    for camera_id in cameras:
        mesh.stop_camera(camera_id)

    frames = wait_for(lambda: _drained(mesh, cameras), 120, "some frames have no outcome")

    assert len(frames) >= 2 * len(VICTIMS)
    books, results = outcomes(mesh, cameras), results_per_frame(mesh, cameras)
    for key, record in frames.items():
        # A frame that was done twice around a kill may be in two sets; the book reads the higher.
        ended = min(books[place(record)], key=PRECEDENCE.index)
        assert (key in results) == (ended in {"processed", "failed"}), f"{key} ended as {ended}"
    assert results.keys() <= frames.keys()
    for key, copies in results.items():
        assert all(copy == copies[0] for copy in copies), f"two results of {key}"
    for camera_id in cameras:
        book = wait_for(partial(_balanced, mesh, camera_id), 60, "some numbers stay open")
        mine = [record for record in frames.values() if record.event.frame.camera_id == camera_id]
        totals = [book[outcome]["total"] for outcome in ("failed", "shed", "lost")]
        assert book["captured"] == book["processed"] + sum(totals) >= len(mine)
        assert book["lost"]["total"] == 0, f"{camera_id} lost {book['lost']}"
    rows = mesh.sql(
        "SELECT detection_id FROM results.detections WHERE camera_id = ANY(%s)", cameras
    )
    assert [key for key, count in Counter(rows).items() if count > 1] == []


def _balanced(mesh: Mesh, camera_id: str) -> dict[str, Any] | None:
    """The balance of a camera, once every number has an outcome."""
    (book,) = mesh.get("/ledger", camera_id=camera_id)["cameras"]
    return None if book["open"] else dict(book)


def _reborn(mesh: Mesh, name: str, old: int) -> bool:
    state = next(state for state in mesh.installation.states() if state.name == name)
    return state.pid not in {None, old}


def _flows(mesh: Mesh, cameras: list[str], before: int) -> bool:
    return len(results_per_frame(mesh, cameras)) > before


def _drained(mesh: Mesh, cameras: list[str]) -> dict[str, Record[FrameCaptured]] | None:
    frames, books = frames_of(mesh, cameras), outcomes(mesh, cameras)
    missing = [key for key, record in frames.items() if not books[place(record)]]
    return None if missing else frames


def test_a_poison_record_is_a_dead_letter_and_the_partition_moves_on(
    mesh: Mesh, cameras: list[str]
) -> None:
    producer = Producer({"bootstrap.servers": mesh.settings.kafka_bootstrap})
    before = len(dead_letters(mesh))
    for partition in range(mesh.settings.partitions):
        producer.produce(
            mesh.topics("frames.live"), key=f"poison-{partition}", value=b"no record at all",
            partition=partition,
        )  # fmt: skip
    producer.flush(10)

    wait_for(
        lambda: len(dead_letters(mesh)) >= before + mesh.settings.partitions,
        30, "the poison records are not in the dead letters",
    )  # fmt: skip
    assert {letter["reason"].split(b":")[0] for letter in dead_letters(mesh)} == {b"undecodable"}

    mesh.post(f"/cameras/{cameras[0]}/start-detection")
    seen = len(results_per_frame(mesh, cameras))
    assert wait_for(partial(_flows, mesh, cameras, seen), 60, "the partition stands still")


def dead_letters(mesh: Mesh) -> list[dict[str, bytes]]:
    """The headers of every dead letter."""
    topic = mesh.topics("dead-letters")
    consumer = Consumer(
        {"bootstrap.servers": mesh.settings.kafka_bootstrap, "group.id": "dead-letters-test"}
    )
    consumer.assign([TopicPartition(topic, n, 0) for n in range(mesh.settings.partitions)])
    found: list[dict[str, bytes]] = []
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        message = consumer.poll(0.3)
        if message is not None and not message.error():
            found.append(dict(message.headers() or []))
    consumer.close()
    return found
