"""Publishing events from outside of a worker: gateways, cameras, heartbeats."""

from collections.abc import Callable
from datetime import timedelta

from mesh.clock import SystemClock
from mesh.kafka.producer import Delivered, KafkaProducer
from mesh.model_status import Duty, LoadedModel, ModelHeartbeat, ModelMeter
from mesh.ports import Codec
from mesh.settings import MeshSettings
from mesh.stage import Output

_FLUSH = timedelta(seconds=30)


class EventProducer:
    """Encodes events and publishes them; used from one thread."""

    def __init__(
        self, settings: MeshSettings, codec: Codec, *, producer: KafkaProducer | None = None
    ) -> None:
        self._codec = codec
        self._producer = producer or KafkaProducer(
            settings.kafka_bootstrap, instance_id=settings.instance_id
        )

    def send(self, output: Output, on_delivery: Delivered | None = None) -> None:
        """Queue an event; an event of `None` is a tombstone for its key.

        Does not wait for the broker, but may block for seconds while the queue is full. Without
        `on_delivery` a failure is raised by the next `flush`; with it, by the callback alone, from
        inside `poll` or `flush`.

        Raises:
            TransientError: the queue stayed full.
            RejectedRecordError: the event is larger than the broker allows.
        """
        value = None if output.event is None else self._codec.encode(output.topic, output.event)
        self._producer.produce(
            output.topic, output.key, value, output.headers, on_delivery=on_delivery
        )

    def poll(self, timeout: timedelta = timedelta(0)) -> None:
        """Let the callbacks of what was acknowledged meanwhile be called."""
        self._producer.poll(timeout)

    def ask(self, timeout: timedelta) -> None:
        """Find out whether the broker answers in time; may be called from any thread.

        Raises:
            TransientError: it does not.
        """
        self._producer.ask(timeout)

    def flush(self, timeout: timedelta = _FLUSH) -> None:
        """Wait until everything that was sent is acknowledged.

        Raises:
            TransientError: something was not; it may be sent again.
            MeshError: the broker refuses for good, for example an unknown topic.
        """
        self._producer.flush(timeout)


def build_heartbeat(
    settings: MeshSettings,
    codec: Codec,
    model: LoadedModel | Callable[[], LoadedModel],
    *,
    duty: Duty | Callable[[], Duty],
    meter: ModelMeter,
) -> ModelHeartbeat:
    """The heartbeat of a model, with a producer of its own; `run` it in a thread."""
    return ModelHeartbeat(
        model,
        duty,
        meter,
        instance_id=settings.instance_id,
        producer=EventProducer(settings, codec),
        topic=settings.topics("model-status"),
        events_topic=settings.topics("events"),
        clock=SystemClock(),
    )
