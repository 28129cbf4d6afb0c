"""The life of a stream: connecting, live, error, stopped (specification 6.3)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mesh.events import StreamState

STABLE_AFTER = timedelta(seconds=10)
"""A connection that lasted this long forgives the failures before it."""


class ErrorCode(StrEnum):
    """Why a stream is not live."""

    UNREACHABLE = "unreachable"
    """Nobody answers at the address, or the connection broke."""
    UNAUTHORIZED = "unauthorized"
    """The camera refuses the name or the password."""
    NOT_FOUND = "not_found"
    """There is no such stream or file."""
    UNSUPPORTED = "unsupported"
    """The stream's kind or codec cannot be read."""
    HARDWARE_UNAVAILABLE = "hardware_unavailable"
    """The hardware that is to decode is not there; the message says what is."""
    STREAM_ENDED = "stream_ended"
    """The camera ended the stream, or the file is over."""
    TIMEOUT = "timeout"
    """The camera did not answer in time."""
    FROZEN = "frozen"
    """The connection stands, but no picture came for the whole read time-out, or for long only
    the same one."""
    STALE = "stale"
    """Every picture came later than allowed for so long that a new connection is better."""
    DEPENDENCY_UNAVAILABLE = "dependency_unavailable"
    """What the pictures would be brought to is away; the message names it."""
    FORBIDDEN_ADDRESS = "forbidden_address"
    """The address lies in a network that this installation must not connect to."""
    UNTRUSTED = "untrusted"
    """The camera cannot prove who it is: its certificate is not trusted."""
    UNREADABLE = "unreadable"
    """Bytes come, but for the whole read time-out no whole picture."""
    CRASHED = "crashed"
    """Reading this camera ended in a bug; the log has the traceback."""

    @property
    def needs_people(self) -> bool:
        """Whether trying again soon is pointless: somebody has to change something first."""
        return self in _NEED_PEOPLE


_NEED_PEOPLE = frozenset(
    {
        ErrorCode.UNAUTHORIZED,
        ErrorCode.NOT_FOUND,
        ErrorCode.UNSUPPORTED,
        ErrorCode.FORBIDDEN_ADDRESS,
        ErrorCode.UNTRUSTED,
        ErrorCode.HARDWARE_UNAVAILABLE,
        ErrorCode.CRASHED,
    }
)
_FOLLOWS = {
    StreamState.CONNECTING: {
        StreamState.CONNECTING,
        StreamState.LIVE,
        StreamState.ERROR,
        StreamState.STOPPED,
    },
    StreamState.LIVE: {StreamState.ERROR, StreamState.STOPPED},
    StreamState.ERROR: {StreamState.CONNECTING, StreamState.ERROR, StreamState.STOPPED},
    StreamState.STOPPED: set[StreamState](),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Where a stream is in its life and what happened to it; every change is a new value."""

    state: StreamState
    started_at: datetime
    """When this replica took the camera up."""
    established_at: datetime | None = None
    """When the present connection showed its first picture; `None` while there is none."""
    next_retry_at: datetime | None = None
    attempts: int = 0
    """Attempts since the stream was last live, the present one included; waiting is none."""
    failures: int = 0
    """Failures in a row; a connection that was stable forgives them."""
    resets: int = 0
    """Connections that were lost."""
    errors: int = 0
    error_code: ErrorCode | None = None
    """Of the last error; kept while connecting again, forgotten once live."""
    last_error: str | None = None
    _down_before: timedelta = timedelta(0)
    _down_since: datetime | None = None

    @classmethod
    def begin(cls, now: datetime) -> "Life":
        """A stream that is about to connect for the first time."""
        return cls(state=StreamState.CONNECTING, started_at=now, _down_since=now)

    def went_live(self, now: datetime) -> "Life":
        """The first picture of a connection arrived.

        Raises:
            ValueError: The stream was not connecting.
        """
        return replace(
            self._enter(StreamState.LIVE),
            established_at=now,
            attempts=0,
            error_code=None,
            last_error=None,
            _down_before=self.downtime(now),
            _down_since=None,
        )

    def failed(self, now: datetime, code: ErrorCode, message: str) -> "Life":
        """The connection, the attempt, or the wait for one ended in an error.

        Raises:
            ValueError: The stream was stopped.
        """
        was_live = self.state is StreamState.LIVE
        stable = self.established_at is not None and now - self.established_at >= STABLE_AFTER
        return replace(
            self._enter(StreamState.ERROR),
            established_at=None,
            next_retry_at=None,
            failures=1 if was_live and stable else self.failures + 1,
            resets=self.resets + was_live,
            errors=self.errors + 1,
            error_code=code,
            last_error=message,
            _down_since=now if was_live else self._down_since,
        )

    def retrying_at(self, moment: datetime) -> "Life":
        """The next attempt is due then."""
        return replace(self, next_retry_at=moment)

    def connecting(self) -> "Life":
        """The next attempt begins.

        Raises:
            ValueError: The stream was live or stopped.
        """
        entered = self._enter(StreamState.CONNECTING)
        return replace(entered, next_retry_at=None, attempts=self.attempts + 1)

    def stopped(
        self, now: datetime, code: ErrorCode | None = None, message: str | None = None
    ) -> "Life":
        """The stream is over; nothing follows.

        Raises:
            ValueError: It was stopped before.
        """
        return replace(
            self._enter(StreamState.STOPPED),
            established_at=None,
            next_retry_at=None,
            error_code=code,
            last_error=message,
            _down_before=self.downtime(now),
            _down_since=None,
        )

    def downtime(self, now: datetime) -> timedelta:
        """How long the stream should have been live and was not, since it was taken up."""
        ongoing = now - self._down_since if self._down_since is not None else timedelta(0)
        return self._down_before + max(ongoing, timedelta(0))

    def _enter(self, state: StreamState) -> "Life":
        if state not in _FOLLOWS[self.state]:
            raise ValueError(f"a stream that is {self.state} cannot become {state}")
        return replace(self, state=state)
