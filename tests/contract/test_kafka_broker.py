from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from confluent_kafka import TopicPartition as VendorPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.contract.broker_contract import PATIENCE, BrokerContract

from mesh.kafka import KafkaConsumer, KafkaProducer
from mesh.record import TopicPartition

pytestmark = pytest.mark.integration


class RealBroker:
    """The embedded platform's broker."""

    def __init__(self, bootstrap: str, closing: ExitStack) -> None:
        self._bootstrap = bootstrap
        self._closing = closing
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def create_topic(self, topic: str, partitions: int) -> None:
        futures = self._admin.create_topics(
            [NewTopic(topic, partitions, 1)], operation_timeout=PATIENCE
        )
        futures[topic].result()

    def truncate(self, source: TopicPartition, start: int) -> None:
        place = VendorPartition(source.topic, source.partition, start)
        for future in self._admin.delete_records([place]).values():
            future.result()

    def consumer(self, group: str) -> KafkaConsumer:
        consumer = KafkaConsumer(
            self._bootstrap,
            group,
            instance_id="contract",
            session_timeout=timedelta(seconds=45),
            answer_timeout=timedelta(seconds=PATIENCE),
            config={"heartbeat.interval.ms": 1500},  # by which members hear of each other
        )
        self._closing.callback(consumer.close)
        return consumer

    def producer(self) -> KafkaProducer:
        return KafkaProducer(self._bootstrap, instance_id="contract")


class TestKafkaBroker(BrokerContract):
    @pytest.fixture
    def broker(self, kafka: str) -> Iterator[RealBroker]:
        with ExitStack() as closing:
            yield RealBroker(kafka, closing)
