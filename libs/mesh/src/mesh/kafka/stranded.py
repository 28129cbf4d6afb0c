"""Clients that know no broker any more, and never ask again.

While a broker shuts down it may answer that there are topics and no brokers. Librdkafka (2.10 to at
least 2.16, its issue 5301) then forgets all of them and asks its bootstrap servers; but the success
of that very answer can cancel the question, which is never put again. Such a client says nothing,
connects to nothing and is never assigned anything. Only a new one helps.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from mesh.kafka.client_log import client_log

_log = logging.getLogger(__name__)
_STATISTICS_MS = 5000
_IN_A_ROW = 2
"""Between forgetting its brokers and asking again every client knows none for a moment."""
_REAL = ('"source":"configured"', '"source":"learned"')
"""Brokers that have an address; a coordinator is listed without being one."""
_ANSWER_SECONDS = 2.0
_RECONNECT_SECONDS = 12.0
"""A client that was refused for a while tries again after ten seconds at the latest."""


class KnownBrokers:
    """Whether a client that is polled all the time still knows a broker."""

    def __init__(self) -> None:
        self._without = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What to tell the client, so that it tells its statistics here."""
        return {"statistics.interval.ms": _STATISTICS_MS, "stats_cb": self.note}

    def note(self, statistics: str) -> None:
        """Take the client's statistics, as JSON."""
        known = any(source in statistics for source in _REAL)
        self._without = 0 if known else self._without + 1

    @property
    def none_left(self) -> bool:
        """Whether it has known none for five seconds or more."""
        return self._without >= _IN_A_ROW


def broker_answers(broker: Mapping[str, Any]) -> bool:
    """Whether the broker answers a new client within two seconds."""
    return _answered(AdminClient(dict(broker), logger=client_log()), _ANSWER_SECONDS)


def is_stranded(client: Any, broker: Mapping[str, Any]) -> bool:
    """Whether the broker answers others and not this client, however long it is waited for.

    Blocks for up to fourteen seconds.
    """
    return broker_answers(broker) and not _answered(client, _RECONNECT_SECONDS)


def abandon(close: Callable[[], None]) -> None:
    """Close a client in a thread of its own: without a broker that may take for ever."""

    def leave() -> None:
        with suppress(KafkaException):
            close()

    threading.Thread(target=leave, name="abandoned client", daemon=True).start()


def _answered(client: Any, seconds: float) -> bool:
    try:
        client.list_topics(timeout=seconds)
    except KafkaException:
        return False
    return True
