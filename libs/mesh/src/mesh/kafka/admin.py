"""Topics as the catalogue says: created by a deploy step, checked whenever it runs again."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from mesh.errors import ConfigurationError
from mesh.kafka.vendor import MAX_LETTER_BYTES, MAX_RECORD_BYTES, translated
from mesh.settings import MeshSettings
from mesh.topics import CATALOGUE, DAY, HOUR, MINUTE, TopicSpec

_ANSWER_SECONDS = 30.0
_SEGMENTS_PER_RETENTION = 6
_MIN_SEGMENT_BYTES = 1024 * 1024
_COMPACTION_LAG = 10 * MINUTE
FRAME_BYTES = 1024**3
"""Default bound of a partition of `frames.*`, bytes."""


def create_topics(settings: MeshSettings, *, frame_bytes: int = FRAME_BYTES) -> list[str]:
    """Create what is missing of the catalogue, and bring the rest up to its settings.

    Args:
        settings: Brokers, prefix, partitions and replication.
        frame_bytes: Each partition of `frames.*` keeps at most this many bytes.

    Returns:
        Full names of the topics that were created.

    Raises:
        ConfigurationError: A topic exists with another number of partitions; Faust joins topics,
            so these must be equal and can only be set at installation.
        TransientError: The broker does not answer.
    """
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    with translated("listing topics"):
        present = admin.list_topics(timeout=_ANSWER_SECONDS).topics
    wanted = {
        settings.topics(spec.name): topic_config(spec, settings.replication, frame_bytes)
        for spec in CATALOGUE
    }
    _check_partitions({name: present[name] for name in wanted if name in present}, settings)
    missing = [name for name in wanted if name not in present]
    _create(admin, {name: wanted[name] for name in missing}, settings)
    _alter(admin, {name: wanted[name] for name in wanted if name in present})
    return missing


def topic_config(spec: TopicSpec, replication: int, frame_bytes: int) -> dict[str, str]:
    """The broker's settings of one topic.

    A record is only gone once its segment is rolled and the segment's newest record has expired:
    segments of a sixth of the retention make the promised times true.
    """
    config = {
        "min.insync.replicas": str(min(2, replication)),
        "max.message.bytes": str(MAX_RECORD_BYTES if spec.records else MAX_LETTER_BYTES),
    }
    if spec.retention is None:
        return config | {
            "cleanup.policy": "compact",
            "max.compaction.lag.ms": _millis(_COMPACTION_LAG),
            "segment.ms": _millis(_COMPACTION_LAG),
            "delete.retention.ms": _millis(DAY),
        }
    config |= {
        "cleanup.policy": "delete",
        "retention.ms": _millis(spec.retention),
        "segment.ms": _millis(min(spec.retention / _SEGMENTS_PER_RETENTION, 6 * HOUR)),
    }
    if spec.name.startswith("frames."):
        segment = max(frame_bytes // _SEGMENTS_PER_RETENTION, _MIN_SEGMENT_BYTES)
        config |= {"retention.bytes": str(frame_bytes), "segment.bytes": str(segment)}
    return config


def _check_partitions(present: Mapping[str, Any], settings: MeshSettings) -> None:
    for name, metadata in present.items():
        count = len(metadata.partitions)
        if count != settings.partitions:
            raise ConfigurationError(
                f"topic {name} has {count} partitions, SIGHTLINE_PARTITIONS is "
                f"{settings.partitions}; the number is fixed at installation"
            )


def _create(
    admin: AdminClient, configs: Mapping[str, Mapping[str, str]], settings: MeshSettings
) -> None:
    topics = [
        NewTopic(
            name,
            num_partitions=settings.partitions,
            replication_factor=settings.replication,
            config=dict(config),
        )
        for name, config in configs.items()
    ]
    if not topics:
        return
    futures: Mapping[str, Future[None]] = admin.create_topics(
        topics, operation_timeout=_ANSWER_SECONDS
    )
    with translated("creating topics"):
        for future in futures.values():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise


def _alter(admin: AdminClient, configs: Mapping[str, Mapping[str, str]]) -> None:
    resources: Sequence[ConfigResource] = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in config.items()
            ],
        )
        for name, config in configs.items()
    ]
    if not resources:
        return
    with translated("altering topics"):
        for future in admin.incremental_alter_configs(list(resources)).values():
            future.result()


def _millis(time: timedelta) -> str:
    return str(int(time.total_seconds() * 1000))
