from datetime import timedelta

import pytest
from confluent_kafka import KafkaError, KafkaException

from mesh.errors import ConfigurationError, MeshError, RejectedRecordError, TransientError
from mesh.kafka.admin import topic_config
from mesh.kafka.vendor import our_offsets, translate, translated, vendor_offsets
from mesh.ports import StoredOffset
from mesh.record import TopicPartition
from mesh.topics import BY_NAME, CATALOGUE, TopicSpec


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), ConfigurationError),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), ConfigurationError),
        (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), RejectedRecordError),
        (KafkaError(KafkaError._TRANSPORT), TransientError),
        (KafkaError(KafkaError._MSG_TIMED_OUT), TransientError),
        (KafkaError(KafkaError.REBALANCE_IN_PROGRESS), TransientError),
        (KafkaError(KafkaError._FENCED, "another one took over", fatal=True), MeshError),
    ],
)
def test_the_client_s_errors_are_told_apart(error: KafkaError, ours: type[MeshError]) -> None:
    with pytest.raises(MeshError, match=r"^reading: ") as caught, translated("reading"):
        raise KafkaException(error)
    assert type(caught.value) is ours
    assert type(translate(error, "reading")) is ours


def test_offsets_survive_the_edge_with_their_metadata() -> None:
    place = TopicPartition("topic", 3)
    offsets = {place: StoredOffset(7, "running"), TopicPartition("topic", 4): StoredOffset(0)}
    assert our_offsets(vendor_offsets(offsets)) == offsets
    assert our_offsets(vendor_offsets({place: StoredOffset(-1001)})) == {}


@pytest.mark.parametrize("spec", [s for s in CATALOGUE if s.retention], ids=lambda s: s.name)
def test_a_segment_is_rolled_six_times_within_the_retention(spec: TopicSpec) -> None:
    config = topic_config(spec, 1, 10**9)
    assert int(config["segment.ms"]) * 6 <= int(config["retention.ms"])
    assert spec.retention == timedelta(milliseconds=int(config["retention.ms"]))


@pytest.mark.parametrize("spec", [s for s in CATALOGUE if not s.retention], ids=lambda s: s.name)
def test_a_compacted_topic_forgets_replaced_records_in_time(spec: TopicSpec) -> None:
    config = topic_config(spec, 1, 10**9)
    assert config["cleanup.policy"] == "compact"
    assert int(config["max.compaction.lag.ms"]) <= 600_000


def test_frames_are_bounded_by_bytes_and_letters_may_be_larger() -> None:
    frames = topic_config(BY_NAME["frames.live"], 3, 60 * 2**20)
    assert frames["retention.bytes"] == str(60 * 2**20)
    assert int(frames["segment.bytes"]) * 6 <= 60 * 2**20
    assert frames["min.insync.replicas"] == "2"
    letters = topic_config(BY_NAME["dead-letters"], 1, 60 * 2**20)
    assert int(letters["max.message.bytes"]) == 2 * int(frames["max.message.bytes"])
    assert "retention.bytes" not in letters
