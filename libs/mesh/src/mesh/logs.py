"""Structured JSON logs in the shape of the specification, section 8.3."""

import logging
import sys
import uuid
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TextIO
from urllib.parse import unquote

import structlog

from mesh.record import Record
from mesh.settings import MeshSettings
from mesh.tracing import TRACEPARENT, TraceContext

_SECRET_WORDS = ("password", "secret", "token", "authorization")
_TALKATIVE = {
    "httpx2": logging.WARNING,
    "websockets": logging.WARNING,
    "uvicorn.error": logging.INFO,
}
"""Libraries that tell requests with their whole URL or their headers below this level: those of a
callback, a camera or a client hold secrets."""
_TOP = (
    "log_id", "timestamp", "level", "event_type", "service", "version", "instance_id", "trace_id",
    "span_id", "request_id", "camera", "frame", "processing", "results", "message", "exception",
)  # fmt: skip


def configure_logs(service: str, settings: MeshSettings, stream: TextIO | None = None) -> None:
    """Send every log line of this process, its libraries' included, to one stream as JSON."""
    out = stream or sys.stdout
    constants = {
        "service": service,
        "version": package_version(service),
        "instance_id": settings.instance_id,
    }

    def add_constants(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**constants, **event}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        add_constants,
        _shape,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    for library, least in _TALKATIVE.items():
        logging.getLogger(library).setLevel(max(logging.root.level, least))


@contextmanager
def handling(records: Sequence[Record[Any]]) -> Iterator[None]:
    """Join the log lines of this block to the traces of the records that it works on.

    One record gives `trace_id`, `span_id` and, if a client waits for it, `request_id`; a batch
    gives the list of its `trace_ids`.
    """
    traces = [trace for trace in map(_trace_of, records) if trace is not None]
    if len(records) == 1:
        named: dict[str, Any] = _named(next(iter(traces), None), _request_of(records[0]))
    else:
        named = {"trace_ids": [trace.trace_id for trace in traces]} if traces else {}
    with structlog.contextvars.bound_contextvars(**named):
        yield


@contextmanager
def handling_request(trace: TraceContext, request_id: str) -> Iterator[None]:
    """Join the log lines of this block to a client's request."""
    with structlog.contextvars.bound_contextvars(**_named(trace, request_id)):
        yield


def _trace_of(record: Record[Any]) -> TraceContext | None:
    value = record.headers.get(TRACEPARENT)
    return None if value is None else TraceContext.parse(value.decode("ascii", "replace"))


def _request_of(record: Record[Any]) -> str | None:
    """The identifier that the client knows, from the baggage; else the mesh's own."""
    for member in record.headers.get("baggage", b"").decode("ascii", "replace").split(","):
        name, _, value = member.partition("=")
        if name.strip() == "request_id":
            return unquote(value.partition(";")[0].strip())
    request: str | None = getattr(getattr(record.event, "request", None), "request_id", None)
    return request


def _named(trace: TraceContext | None, request_id: str | None) -> dict[str, str]:
    found = {"trace_id": trace.trace_id, "span_id": trace.span_id} if trace else {}
    return found | ({"request_id": request_id} if request_id else {})


def get_logger(name: str) -> Any:
    """A logger; `log.info("camera_connected", camera={...})` names the event first."""
    return structlog.get_logger(component=name)


def package_version(name: str) -> str:
    """The installed version of a distribution, or `0` outside of one."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "0"


def _shape(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Specification 8.3: known fields at the top, everything else under `metadata`."""
    shaped: dict[str, Any] = {"log_id": f"log_{uuid.uuid4().hex}"}
    fields = dict(event)
    fields["level"] = str(fields.get("level", "info")).upper()
    name = fields.pop("event")
    if " " in name:  # a library's sentence, not one of our event names
        fields["message"], name = name, "log"
    fields["event_type"] = name
    private = {key: fields.pop(key) for key in list(fields) if key.startswith("_")}
    shaped.update({key: fields.pop(key) for key in _TOP if key in fields})
    shaped["metadata"] = {key: _redact(key, value) for key, value in fields.items()}
    return {**shaped, **private}


def _redact(key: str, value: Any) -> Any:
    return "***" if any(word in key.lower() for word in _SECRET_WORDS) else value
