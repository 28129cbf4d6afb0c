"""The mesh on a real Kafka: consumers, producers, topics, and the loop that stages run on."""

from mesh.kafka.admin import create_topics
from mesh.kafka.build import WorkerOptions, build_worker
from mesh.kafka.consumer import KafkaConsumer
from mesh.kafka.downstream import Downstream
from mesh.kafka.events import EventProducer
from mesh.kafka.platform import KafkaPlatform
from mesh.kafka.producer import KafkaProducer
from mesh.kafka.tail import KafkaTail
from mesh.kafka.worker import StreamWorker, WorkerPolicy

__all__ = [
    "Downstream",
    "EventProducer",
    "KafkaConsumer",
    "KafkaPlatform",
    "KafkaProducer",
    "KafkaTail",
    "StreamWorker",
    "WorkerOptions",
    "WorkerPolicy",
    "build_worker",
    "create_topics",
]
