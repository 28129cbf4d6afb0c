import threading
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from camera.adapters.dependencies import BrokerProbe, WatchedCodec
from camera.adapters.prometheus_metrics import CameraMetrics
from mesh.errors import TransientError
from mesh.events import StreamState


class FakeCodec:
    """A codec that may be without its registry."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def encode(self, topic: str, event: Any) -> bytes:
        return f"{self._checked(topic)} {event}".encode()

    def decode(self, topic: str, data: bytes) -> Any:
        return f"{self._checked(topic)} {data.decode()}"

    def _checked(self, topic: str) -> str:
        if self.error is not None:
            raise self.error
        return topic


def test_a_codec_tells_whether_it_lacks_the_registry() -> None:
    vendor = FakeCodec()
    codec = WatchedCodec(vendor)
    assert codec.encode("ledger", 1) == b"ledger 1"
    vendor.error = TransientError("schema registry unreachable")
    with pytest.raises(TransientError):
        codec.decode("cameras", b"2")
    vendor.error = None
    codec.encode("ledger", 3)
    assert codec.check() == "schema registry unreachable"
    assert codec.decode("cameras", b"2") == "cameras 2"
    assert codec.check() is None


def test_the_broker_is_asked_until_it_is_over_and_the_last_answer_counts() -> None:
    stop = threading.Event()
    answers: list[TransientError | None] = [TransientError("no route"), None]

    def ask(timeout: timedelta) -> None:
        assert timeout.total_seconds() > 0
        answer = answers.pop(0)
        if not answers:
            stop.set()
        if answer is not None:
            raise answer

    probe = BrokerProbe(ask)
    assert probe.check() == "kafka has not been asked yet"
    probe.ask_once()
    assert probe.check() == "kafka does not answer: no route"
    probe.run(stop)
    assert probe.check() is None


def test_metrics_count_frames_and_show_what_there_is() -> None:
    registry = CollectorRegistry()
    metrics = CameraMetrics(registry)
    metrics.captured()
    metrics.skipped()
    metrics.gave_up("spool_full", 3)
    metrics.waiting({"evidence": 7}, {"evidence": 900})
    metrics.streams({StreamState.LIVE: 2})
    metrics.waiting({}, {})
    metrics.streams({StreamState.ERROR: 1})

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"sightline_camera_{name}", labels)

    assert value("frames_captured_total") == value("frames_skipped_total") == 1
    assert value("frames_dropped_total", reason="spool_full") == 3
    assert value("waiting_frames", lane="evidence") == 0
    assert value("waiting_bytes", lane="live") == 0
    assert value("streams", state="live") == 0
    assert value("streams", state="error") == 1
