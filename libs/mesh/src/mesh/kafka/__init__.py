"""The mesh on a real Kafka: consumers, producers, topics."""

from mesh.kafka.admin import create_topics
from mesh.kafka.consumer import KafkaConsumer
from mesh.kafka.events import EventProducer
from mesh.kafka.producer import KafkaProducer
from mesh.kafka.tail import KafkaTail

__all__ = [
    "EventProducer",
    "KafkaConsumer",
    "KafkaProducer",
    "KafkaTail",
    "create_topics",
]
