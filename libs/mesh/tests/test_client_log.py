import logging

from mesh.clock import ManualClock
from mesh.kafka.client_log import Sparse


def passed(sparse: Sparse, message: str) -> str | None:
    record = logging.LogRecord("client", logging.ERROR, "", 0, "%s", (message,), None)
    return record.getMessage() if sparse.filter(record) else None


def test_a_client_that_fails_to_connect_says_so_once_and_then_how_often_it_did() -> None:
    clock = ManualClock()
    sparse = Sparse(30, clock.monotonic)
    refused = "FAIL [detection#consumer-1] [thrd:broker]: Connection refused"
    assert passed(sparse, refused) == refused
    for _ in range(599):
        clock.advance(0.05)
        assert passed(sparse, refused) is None
    clock.advance(0.05)
    assert passed(sparse, refused) == f"{refused} (599 more like it before)"


def test_other_clients_and_other_kinds_are_heard_meanwhile() -> None:
    sparse = Sparse(30, ManualClock().monotonic)
    said = [
        "FAIL [detection#consumer-1] [thrd:broker]: Connection refused",
        "FAIL [detection#producer-2] [thrd:broker]: Connection refused",
        "SESSTMOUT [detection#consumer-1] [thrd:main]: Consumer group session timed out",
    ]
    assert [passed(sparse, each) for each in said] == said
