"""W3C trace context through record headers, and spans where an OTLP endpoint is set."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from typing_extensions import override

from mesh.record import Headers

TRACEPARENT = "traceparent"
_FORMAT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_PASSED_ON = ("tracestate", "baggage")
_SAMPLED = "01"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span of one trace (W3C Trace Context, level 1)."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    flags: str = _SAMPLED

    @classmethod
    def new(cls) -> "TraceContext":
        """The root span of a new trace."""
        digits = secrets.token_hex(24)
        return cls(trace_id=digits[:32], span_id=digits[32:])

    @classmethod
    def parse(cls, traceparent: str) -> "TraceContext | None":
        """The context in a `traceparent` value, or nothing if it is malformed."""
        match = _FORMAT.fullmatch(traceparent)
        if match is None or not int(match[1], 16) or not int(match[2], 16):
            return None
        return cls(*match.groups())

    def child(self) -> "TraceContext":
        """A new span of the same trace."""
        return TraceContext(self.trace_id, secrets.token_hex(8), self.flags)

    @override
    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def context_of(headers: Headers) -> TraceContext:
    """The trace context of a record; a record without one starts a new trace."""
    value = headers.get(TRACEPARENT, b"").decode("ascii", "replace")
    return TraceContext.parse(value) or TraceContext.new()


def headers_for(context: TraceContext) -> dict[str, bytes]:
    """The headers that carry a context."""
    return {TRACEPARENT: str(context).encode()}


def child_headers(headers: Headers) -> dict[str, bytes]:
    """Headers for what follows from a record: the same trace, a span of its own."""
    passed: Mapping[str, bytes] = {key: headers[key] for key in _PASSED_ON if key in headers}
    return {**passed, **headers_for(context_of(headers).child())}
