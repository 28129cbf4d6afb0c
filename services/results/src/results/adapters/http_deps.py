"""What the routers work with, and who may ask for what."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from mesh.addresses import AddressPolicy, Resolve
from mesh.auth import Identity, Tokens
from mesh.clock import Clock
from mesh.crypto import Cipher
from mesh.events import Person
from mesh.health import Health
from mesh.topics import Topics
from mesh.tracing import headers_for
from results.adapters.callback_targets import CallbackTargets
from results.adapters.frame_requests import FrameRequests
from results.adapters.gateway_metrics import GatewayMetrics
from results.adapters.live import LiveState, NameCache
from results.adapters.live_answers import Answers
from results.adapters.live_hub import Hub
from results.adapters.pictures import LivePictures
from results.adapters.pushes import Pushes
from results.domain.errors import ApiError, not_found
from results.domain.models import KnownModel
from results.ports import (
    AuditLog,
    CameraRegistry,
    Jobs,
    LedgerQueries,
    PersonDirectory,
    PictureEditor,
    ResultQueries,
    SessionFigures,
    SnapshotReader,
    Statistics,
)

COOKIE = "sightline_session"
"""Carries the token for pictures alone, which a page cannot fetch with a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPolicy:
    """What this gateway allows."""

    allow_file_sources: bool = False
    """Cameras may play files of the server."""
    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    """Where no camera may lead to."""
    session: timedelta = timedelta(hours=12)
    """How long a browser keeps the cookie."""
    secure_cookie: bool = False
    """Browsers send the cookie over TLS only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDeps:
    """Everything that the interface needs from the outside."""

    cameras: CameraRegistry
    persons: PersonDirectory
    names: NameCache
    results: ResultQueries
    audit: AuditLog
    ledger: LedgerQueries
    statistics: Statistics
    sessions: SessionFigures
    requests: FrameRequests
    jobs: Jobs
    callbacks: CallbackTargets
    state: LiveState
    hub: Hub
    answers: Answers
    pushes: Pushes
    pictures: LivePictures
    snapshots: SnapshotReader
    editor: PictureEditor
    tokens: Tokens
    cipher: Cipher
    topics: Topics
    clock: Clock
    health: Health
    instance_id: str
    policy: GatewayPolicy = GatewayPolicy()
    resolve: Resolve | None = None
    """Asks the name service where a camera leads to."""
    metrics: GatewayMetrics = field(default_factory=GatewayMetrics)
    known_models: tuple[KnownModel, ...] = ()
    """The models of the registry file."""


def deps_of(connection: HTTPConnection) -> GatewayDeps:
    """The dependencies of the application that serves this connection."""
    deps: GatewayDeps = connection.app.state.deps
    return deps


def identity_of(connection: HTTPConnection) -> Identity:
    """Who sends the request; the edge has verified the token."""
    identity: Identity = connection.state.identity
    return identity


def noted_of(connection: HTTPConnection) -> dict[str, str]:
    """What a handler tells the audit besides the parameters: identifiers by their names."""
    noted: dict[str, str] = connection.state.noted
    return noted


def requires(role: str) -> Callable[[HTTPConnection], Identity]:
    """A dependency that lets only this role and those above it pass."""

    def check(connection: HTTPConnection) -> Identity:
        identity = identity_of(connection)
        if not identity.may(role):
            message = f"this needs the role {role}; the token has {identity.role}"
            raise ApiError(403, "FORBIDDEN", message, field="role", limit=role)
        return identity

    return check


def trace_headers(connection: HTTPConnection) -> dict[str, bytes]:
    """Record headers that go on with the client's trace, or begin one, and name the request.

    The request's identifier travels as W3C baggage, which every stage passes on.
    """
    headers = headers_for(connection.state.trace)
    request_id = quote(connection.state.request_id, safe="")
    return headers | {"baggage": f"request_id={request_id}".encode()}


def known_person(deps: GatewayDeps, person_id: str) -> Person:
    """A person of the registry; blocks.

    Raises:
        ApiError: There is no such person.
    """
    person = deps.names.person(person_id)
    if person is None:
        raise not_found("person", person_id, field="person_id")
    return person


_bearer = Depends(HTTPBearer(auto_error=False, description="A token from `mesh token`."))
Deps = Annotated[GatewayDeps, Depends(deps_of)]
Viewer = Annotated[Identity, Depends(requires("viewer"))]
Operator = Annotated[Identity, Depends(requires("operator"))]
Admin = Annotated[Identity, Depends(requires("admin"))]
Noted = Annotated[dict[str, str], Depends(noted_of)]
Trace = Annotated[dict[str, bytes], Depends(trace_headers)]
BEARER: list[Any] = [_bearer]
"""Shows in the interface's description that a token is needed; the edge verifies it."""
