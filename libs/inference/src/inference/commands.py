"""Wires news and commands of a service's model to the broker."""

from inference.news import ModelNews, Teller
from inference.switching import ModelSwitch
from mesh.background import Background
from mesh.clock import SystemClock
from mesh.kafka import EventProducer, KafkaTail
from mesh.ports import Codec
from mesh.settings import MeshSettings

TOPIC = "model.commands"


def build_news(settings: MeshSettings, codec: Codec, *, service: str, task: str) -> ModelNews:
    """News with a producer of their own; `run` them in a thread."""
    teller = Teller(
        service=service,
        task=task,
        instance_id=settings.instance_id,
        topic=settings.topics("events"),
    )
    return ModelNews(teller, EventProducer(settings, codec), SystemClock())


def follow_commands(
    settings: MeshSettings, codec: Codec, switch: ModelSwitch, background: Background
) -> None:
    """Carry out the commands of before, then follow the topic in the background.

    Blocks until the broker is there and the newest model is loaded.
    """
    tail = KafkaTail(settings, codec, topics=[settings.topics(TOPIC)])
    background.start(lambda stop, _: tail.run(switch.take, stop))
    switch.settle(tail.caught_up, background.stop)
    background.start(switch.run)
