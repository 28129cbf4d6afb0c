"""Why the connection of a client that pushes pictures ends."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a client's connection ends."""

    code: int
    """Close code of the WebSocket."""
    reason: str
    """Sentence for people, at most 123 bytes."""
    error_code: str | None = None
    """Why the stream is in error; nothing if it ends as somebody wanted."""


AWAY = Ending(
    code=1013,
    reason="the broker cannot be reached; connect again later",
    error_code="dependency_unavailable",
)
BROKEN = Ending(code=1011, reason="something broke; see the log", error_code="crashed")
DELETED = Ending(code=4404, reason="the camera was deleted")
REPLACED = Ending(code=4409, reason="another client pushes this camera now")
STOPPING = Ending(code=1012, reason="this gateway stops; connect again")
SWITCHED_OFF = Ending(code=4410, reason="the camera was switched off")


def full(limit: int) -> Ending:
    """So many clients push to this gateway already that it takes no more."""
    reason = f"{limit} clients push to this gateway, which is all it may have; connect again later"
    return Ending(code=4429, reason=reason)
