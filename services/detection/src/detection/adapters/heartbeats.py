"""Heartbeats of the models beyond face detection, once a second from one thread."""

import threading
from collections.abc import Callable, Iterator, Sequence

from detection.adapters.further_models import Loaded
from detection.domain.report import STAGE
from mesh.background import Work
from mesh.clock import SystemClock
from mesh.kafka import EventProducer
from mesh.model_status import Duty, ModelHeartbeat, ModelMeter, Publisher, beat_until
from mesh.ports import Codec
from mesh.settings import MeshSettings


class FurtherHeartbeats:
    """Publishes how the further models do; a broker that is away costs heartbeats, nothing else."""

    def __init__(
        self,
        loaded: Sequence[Loaded],
        settings: MeshSettings,
        *,
        producer: Publisher,
        drift: Callable[[str], str | None],
    ) -> None:
        """Take what is reported, and where to; the producer is these heartbeats' own.

        Args:
            loaded: the models.
            settings: name process and topics.
            producer: used from the thread of `run` alone.
            drift: what became of the files of a model, by its identifier.
        """
        self._heartbeats = [
            ModelHeartbeat(
                info,
                Duty(service=STAGE, task=item.task, max_batch=info.max_batch, drift=drift),
                meter,
                instance_id=settings.instance_id,
                producer=producer,
                topic=settings.topics("model-status"),
                events_topic=settings.topics("events"),
                clock=SystemClock(),
            )
            for item in loaded
            for info, meter in zip(item.infos, _meters(item), strict=False)
        ]

    def run(self, stop: threading.Event, warn: Callable[[str], None]) -> None:
        """Publish every second until `stop` is set; blocks.

        Args:
            stop: ends it within a second, or what the broker takes.
            warn: told why heartbeats were lost.
        """
        beat_until(stop, self.beat, warn)

    def beat(self) -> None:
        """Publish one status of each model.

        Raises:
            TransientError: the broker did not acknowledge in time.
        """
        for heartbeat in self._heartbeats:
            heartbeat.beat()


def _meters(item: Loaded) -> Iterator[ModelMeter]:
    """The meter for the first network; others that are read together with it only say they run."""
    yield item.meter
    while True:
        meter = ModelMeter(SystemClock())
        meter.loaded()
        yield meter


def further_heartbeats(
    settings: MeshSettings,
    codec: Codec,
    loaded: Sequence[Loaded],
    drift: Callable[[str], str | None],
) -> Work:
    """The heartbeats of this process, with a producer of their own where there is something."""

    def run(stop: threading.Event, warn: Callable[[str], None]) -> None:
        if loaded:
            producer = EventProducer(settings, codec)
            FurtherHeartbeats(loaded, settings, producer=producer, drift=drift).run(stop, warn)

    return run
