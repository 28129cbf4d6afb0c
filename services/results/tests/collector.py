"""A collector that takes OTLP over HTTP and keeps what it was sent, decoded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Received:
    """A span as it came over the wire."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    start: int
    """Nanoseconds since 1970."""
    end: int
    attributes: dict[str, Any]
    failed: bool


@dataclass(slots=True)
class Collector:
    """Where it listens, and what came."""

    endpoint: str = ""
    status: int = 200
    spans: list[Received] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def traces(self) -> dict[str, list[Received]]:
        """Spans by trace."""
        found: dict[str, list[Received]] = {}
        with self.came:
            for span in self.spans:
                found.setdefault(span.trace_id, []).append(span)
        return found

    def wait_for(self, count: int, seconds: float = 90.0) -> list[Received]:
        """The spans, as soon as there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.spans) >= count, seconds), self.spans
            return list(self.spans)


@contextmanager
def a_collector(status: int = 200) -> Iterator[Collector]:
    collector = Collector(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            if collector.status == 200:
                with collector.came:
                    collector.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
                    collector.came.notify_all()
            self.send_response(collector.status)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    collector.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def _spans(request: Any) -> Iterator[Received]:
    for resource in request.resource_spans:
        of = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    service=of["service.name"],
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes={each.key: _value(each.value) for each in span.attributes},
                    failed=span.status.code == 2,
                )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
