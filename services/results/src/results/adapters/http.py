"""The application that clients talk to."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from mesh.errors import TransientError
from results.adapters import (
    http_cameras,
    http_detections,
    http_discovery,
    http_docs,
    http_errors,
    http_frames,
    http_jobs,
    http_ledger,
    http_models,
    http_persons,
    http_statistics,
    http_system,
    push_socket,
    websocket,
)
from results.adapters.gateway_metrics import MeasuredRequests
from results.adapters.http_audit import Audited
from results.adapters.http_deps import GatewayDeps
from results.adapters.http_edge import Authentication, BodyLimit, RequestIds, Unfinished
from results.domain.model_report import count_states

PAGE = Path(__file__).parent / "page"
"""The live page: static files."""
_REPORT_SECONDS = 2.0
_WATCH_SECONDS = 5.0
_DESCRIPTION = """Faces in many cameras: identities, sightings and the live feed.

Every error is `{"status": "error", "error": {"code", "message", "field", "limit"}}`. The live feed
is a WebSocket at `/api/v1/detections/ws/{client_id}`, pictures are pushed over one at
`/api/v1/cameras/{camera_id}/push`, both with the subprotocols `bearer, <token>`.
"""
_log = logging.getLogger(__name__)


def create_app(deps: GatewayDeps, *, page: Path = PAGE) -> FastAPI:
    """The gateway's application; everything from the outside comes with `deps`."""
    app = FastAPI(
        title="Sightline",
        version="1.0.0",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.deps = deps
    http_errors.install(app)
    app.add_middleware(Audited, audit=deps.audit, clock=deps.clock)
    app.add_middleware(Authentication, tokens=deps.tokens)
    app.add_middleware(BodyLimit)
    app.add_middleware(Unfinished)
    app.add_middleware(RequestIds)
    app.add_middleware(MeasuredRequests, metrics=deps.metrics)
    app.include_router(http_system.public)
    app.include_router(http_docs.router)
    # `process-frame` before `{detection_id}`, `discover` before `{camera_id}`: the first wins.
    app.include_router(http_frames.router)
    app.include_router(http_jobs.router)
    app.include_router(http_statistics.router)
    app.include_router(http_detections.router)
    app.include_router(http_discovery.router)
    app.include_router(http_cameras.router)
    app.include_router(http_persons.router)
    app.include_router(http_system.router)
    app.include_router(http_models.router)
    app.include_router(http_models.specified)
    app.include_router(http_ledger.router)
    app.include_router(websocket.router)
    app.include_router(push_socket.router)
    if (page / "index.html").is_file():
        app.mount("/", StaticFiles(directory=page, html=True), name="page")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    deps: GatewayDeps = app.state.deps
    tasks = [
        asyncio.create_task(_report(deps)),
        asyncio.create_task(_watch(deps)),
        asyncio.create_task(deps.pushes.run()),
    ]
    try:
        yield
    finally:
        await deps.pushes.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _reported(deps, closing=True)


async def _report(deps: GatewayDeps) -> None:
    """Tell the frame ledger now and then what was pushed, and Prometheus of the models."""
    while True:
        await asyncio.sleep(_REPORT_SECONDS)
        deps.requests.gate.watch()
        deps.metrics.models(count_states(deps.state.models(), deps.clock.now()))
        await _reported(deps, closing=False)


async def _reported(deps: GatewayDeps, *, closing: bool) -> None:
    try:
        await deps.requests.report(closing=closing)
    except TransientError as error:
        # What it was not told is part of the next report.
        _log.warning("the ledger was not told: %s", error)


async def _watch(deps: GatewayDeps) -> None:
    """Keep reading the pictures that connected clients asked for."""
    while True:
        deps.pictures.watch(deps.hub.watched_pictures())
        await asyncio.sleep(_WATCH_SECONDS)
