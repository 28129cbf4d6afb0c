"""Who asks the broker for ends can tell whether it answers."""

from datetime import timedelta

import pytest

from mesh.kafka.ends import KafkaEnds


def test_a_broker_that_nobody_reaches_is_said_each_time() -> None:
    ends = KafkaEnds("127.0.0.1:1", [], instance_id="test")

    for _ in range(2):
        assert "the broker does not answer" in (ends.check(timedelta(milliseconds=50)) or "")


@pytest.mark.integration
def test_a_broker_that_answers_is_nothing_to_tell(kafka: str) -> None:
    ends = KafkaEnds(kafka, [], instance_id="test")

    assert ends.check(timedelta(seconds=30)) is None
