"""The statement that leaves a record to the outbox's relay, in the transaction of a change."""

from typing import Any

LEAVE = """
INSERT INTO results.outbox (topic, key, event_type, payload)
VALUES (%(topic)s, %(key)s, %(event_type)s, %(payload)s)
"""
"""Takes what `outbox_row` gives."""


def outbox_row(
    topic: str, key: str, payload: bytes | None = None, *, event_type: str | None = None
) -> dict[str, Any]:
    """The parameters of `LEAVE` for one record.

    Args:
        topic: catalogue name, without prefix.
        key: of the record.
        payload: as on the topic; none is a tombstone.
        event_type: for whoever reads the table; the relay does not need it.
    """
    return {"topic": topic, "key": key, "event_type": event_type, "payload": payload}
