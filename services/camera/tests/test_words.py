from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.domain.frames import Arrival, Pictures, frame_captured, lane_of
from camera.domain.ownership import owned
from camera.domain.redaction import redact
from mesh.events import Lane, Overload, Priority, TimestampSource
from mesh.partitioning import partition_of
from mesh.source.statistics import Statistics
from mesh.source.timestamps import camera_time
from mesh.testing import NOON, a_camera, a_detection_config


def test_a_credible_camera_clock_is_believed() -> None:
    taken = camera_time(NOON, NOON - timedelta(seconds=2), TimestampSource.RTCP)
    assert taken.moment == NOON - timedelta(seconds=2)
    assert taken.source is TimestampSource.RTCP
    assert taken.latency(NOON) == 2.0


@pytest.mark.parametrize("seconds", [-60.001, 60.001, 1e9])
def test_a_clock_that_is_far_off_gives_way_to_the_arrival(seconds: float) -> None:
    taken = camera_time(NOON, NOON + timedelta(seconds=seconds), TimestampSource.RTCP)
    assert taken.moment == NOON
    assert taken.source is TimestampSource.ARRIVAL
    assert taken.latency(NOON) is None


def test_a_camera_that_tells_no_time_is_stamped_at_arrival() -> None:
    assert camera_time(NOON, None, TimestampSource.HEADER).source is TimestampSource.ARRIVAL


@given(st.floats(-60, 60))
def test_a_clock_is_believed_within_a_minute(seconds: float) -> None:
    claimed = NOON + timedelta(seconds=seconds)
    assert camera_time(NOON, claimed, TimestampSource.HEADER).moment == claimed


def test_user_information_of_urls_is_redacted() -> None:
    text = "cannot open 'rtsp://admin:s3c:ret@10.0.0.1:554/live?x=a@b' and http://u@host/"
    assert redact(text) == "cannot open 'rtsp://***@10.0.0.1:554/live?x=a@b' and http://***@host/"


def test_a_text_without_credentials_stays_as_it_is() -> None:
    assert redact("rtsp://10.0.0.1/live: mail me@home", None, "") == (
        "rtsp://10.0.0.1/live: mail me@home"
    )


@given(st.text(min_size=1), st.text(), st.text())
def test_a_secret_never_survives(secret: str, before: str, after: str) -> None:
    shown = redact(f"{before}{secret}{after}", secret)
    assert secret in "***" or secret not in shown.replace("***", "")


def test_a_quoted_secret_is_found_too() -> None:
    assert "p%40ss" not in redact("user:p%40ss", "p@ss")


@pytest.mark.parametrize(
    ("priority", "overload", "lane"),
    [
        (Priority.URGENT, Overload.LATEST, Lane.URGENT),
        (Priority.URGENT, Overload.ALL, Lane.EVIDENCE),
        (Priority.HIGH, Overload.ALL, Lane.EVIDENCE),
        (Priority.LOW, Overload.LATEST, Lane.LIVE),
    ],
)
def test_the_lane_follows_from_priority_and_overload(
    priority: Priority, overload: Overload, lane: Lane
) -> None:
    assert lane_of(a_detection_config(priority=priority, overload=overload)) is lane


@pytest.mark.parametrize("lane", [Lane.LIVE, Lane.URGENT, Lane.EVIDENCE])
def test_a_frame_is_worth_its_work_for_max_age_except_as_evidence(lane: Lane) -> None:
    arrival = Arrival(
        received=NOON,
        monotonic=0.0,
        media_time=0.0,
        claimed=None,
        source=TimestampSource.ARRIVAL,
        width=64,
        height=48,
        size=7,
    )
    camera = a_camera(detection=a_detection_config(max_age_ms=1500))

    frame = frame_captured(
        camera,
        arrival,
        Pictures(image=b"picture"),
        epoch=7,
        lane=lane,
        sequence=0,
        instance_id="camera-0",
        ended_at=NOON,
    ).frame

    expected = None if lane is Lane.EVIDENCE else NOON + timedelta(milliseconds=1500)
    assert frame.deadline == expected


@given(st.integers(1, 16), st.integers(1, 5), st.sets(st.uuids(), max_size=30))
def test_every_camera_has_exactly_one_owner(
    partitions: int, replicas: int, ids: set[object]
) -> None:
    cameras = [a_camera(camera_id=f"cam_{each}") for each in ids]
    shares = [
        owned(
            cameras,
            node=None,
            partitions={n for n in range(partitions) if n % replicas == replica},
            partition_of=lambda key: partition_of(key, partitions),
        )
        for replica in range(replicas)
    ]
    assert sorted(key for share in shares for key in share) == sorted(
        camera.camera_id for camera in cameras
    )


def test_a_camera_on_a_node_belongs_to_that_node_whatever_kafka_says() -> None:
    camera = a_camera(node="node-a")
    for node, mine in (("node-a", True), ("node-b", False), (None, False)):
        share = owned([camera], node=node, partitions={0}, partition_of=lambda _: 0)
        assert bool(share) is mine


def test_averages_are_over_the_last_ten_seconds() -> None:
    statistics = Statistics()
    for n in range(300):
        statistics.arrived(at=n / 10, size=12_500, latency=0.2)
    figures = statistics.figures(29.9)
    assert figures.captured == 300
    assert figures.fps == pytest.approx(10)
    assert figures.megabits_per_second == pytest.approx(1.0)
    assert figures.latency_ms == pytest.approx(200)


def test_averages_of_a_young_stream_are_over_its_own_time() -> None:
    statistics = Statistics()
    for n in range(20):
        statistics.arrived(at=n / 10, size=0, latency=None)
    figures = statistics.figures(2.0)
    assert figures.fps == pytest.approx(10)
    assert figures.latency_ms is None


def test_a_silent_stream_fades_to_nothing_and_a_new_connection_begins_afresh() -> None:
    statistics = Statistics()
    statistics.arrived(at=0, size=1, latency=None)
    assert statistics.figures(0.5).fps == 1
    statistics.restart_window()
    assert statistics.figures(0.5).fps == 0
    statistics.arrived(at=1, size=1, latency=None)
    assert statistics.figures(11.0).fps == 0
    assert statistics.figures(11.0).captured == 2
