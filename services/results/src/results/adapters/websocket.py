"""`WS /api/v1/detections/ws/{client_id}`: the live feed, specification 9.1.2."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, cast

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError

from mesh.auth import Identity
from mesh.errors import TransientError
from results.adapters.http_audit import address_of, unkept
from results.adapters.http_deps import Deps, GatewayDeps
from results.adapters.http_edge import UNAUTHORIZED, identity_for, response_of
from results.adapters.http_errors import of_validation
from results.adapters.http_fields import Body, Share
from results.adapters.live_hub import Client
from results.domain.audit import subscribed
from results.domain.errors import ApiError, invalid, not_found, unavailable
from results.domain.filters import EVERY_CAMERA, NO_FILTERS, EventType, Filters
from results.domain.times import iso

PROTOCOL = "bearer"
EXPIRED = 4401
"""The close code when the token is no longer valid."""
_MAX_MESSAGE = 64 * 1024
_CHECK_SECONDS = 15.0
_CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_MOST_SUBSCRIPTIONS = 1000
router = APIRouter()
T = TypeVar("T")

CameraOrAll = Annotated[str, Field(pattern=r"^(\*|cam_[A-Za-z0-9-]{1,64})$")]


class FilterBody(Body):
    """Which detections are wanted."""

    min_confidence: Share | None = None
    person_ids: (
        Annotated[
            list[Annotated[str, Field(pattern=r"^per_[A-Za-z0-9-]{1,64}$")]],
            Field(max_length=1000),
        ]
        | None
    ) = None


class Subscribe(Body):
    """Send me what this camera sees; `*` means every camera without a subscription of its own."""

    type: Literal["subscribe"]
    camera_id: CameraOrAll
    filters: FilterBody = FilterBody()
    events: Annotated[list[EventType], Field(min_length=1)] | None = None
    pictures: bool = False


class Unsubscribe(Body):
    """Send it no longer."""

    type: Literal["unsubscribe"]
    camera_id: CameraOrAll


class Ping(Body):
    """Are you there?"""

    type: Literal["ping"]
    id: Annotated[str, Field(max_length=100)] | int | None = None


Message = Annotated[Subscribe | Unsubscribe | Ping, Field(discriminator="type")]
_TYPES = ("subscribe", "unsubscribe", "ping")
_MESSAGES: TypeAdapter[Any] = TypeAdapter(cast("Any", Message))


@router.websocket("/api/v1/detections/ws/{client_id}")
async def live_feed(websocket: WebSocket, client_id: str, deps: Deps) -> None:
    """Serve one client; its token comes as the subprotocols `bearer, <token>`."""
    token = token_of(websocket)
    identity = identity_for(deps.tokens, token)
    if identity is None:
        await websocket.send_denial_response(response_of(UNAUTHORIZED))
        return
    if not _CLIENT_ID.fullmatch(client_id):
        error = invalid(
            "INVALID_ID", "client_id has other signs", field="client_id", limit=_CLIENT_ID.pattern
        )
        await websocket.send_denial_response(response_of(error))
        return
    await websocket.accept(subprotocol=PROTOCOL)
    client = Client(client_id, deps.metrics)
    deps.hub.join(client)
    client.offer(_greeting(client_id, identity, deps))
    beside = [
        asyncio.create_task(_send(websocket, client)),
        asyncio.create_task(_end_with(token, websocket, deps)),
    ]
    try:
        await _receive(websocket, client, deps, identity)
    except WebSocketDisconnect:
        return
    finally:
        deps.hub.leave(client)
        for task in beside:
            task.cancel()


def token_of(websocket: WebSocket) -> str:
    """The token that a client sent as a subprotocol; browsers can set no header."""
    protocols: list[str] = websocket.scope.get("subprotocols", [])
    return protocols[1] if len(protocols) == 2 and protocols[0] == PROTOCOL else ""


def _greeting(client_id: str, identity: Identity, deps: GatewayDeps) -> str:
    return json.dumps(
        {
            "type": "connection_established",
            "timestamp": iso(deps.clock.now()),
            "client_id": client_id,
            "subject": identity.subject,
            "role": identity.role,
        }
    )


async def _end_with(token: str, websocket: WebSocket, deps: GatewayDeps) -> None:
    """Close the connection when its token is no longer valid."""
    while identity_for(deps.tokens, token) is not None:  # noqa: ASYNC110 -- time makes it invalid
        await asyncio.sleep(_CHECK_SECONDS)
    await websocket.close(EXPIRED, "the token has expired")


async def _send(websocket: WebSocket, client: Client) -> None:
    try:
        while True:
            await websocket.send_text(await client.next())
            client.sent()
    except WebSocketDisconnect:
        # Whoever receives learns of it too, and ends the connection.
        return


async def _receive(
    websocket: WebSocket, client: Client, deps: GatewayDeps, identity: Identity
) -> None:
    address = address_of(websocket.scope)
    while True:
        try:
            reply = await _handled(await _message(websocket), client, deps)
            if reply["type"] == "subscribed":
                camera_id: str = reply["camera_id"]
                now = deps.clock.now()
                entry = subscribed(identity.subject, address, camera_id, now)
                if (refusal := await unkept(deps.audit.note(entry))) is not None:
                    client.subscriptions.pop(camera_id, None)
                    client.pictures.discard(camera_id)
                    raise refusal
        except ApiError as error:
            reply = {"type": "error"} | error.envelope()
        client.offer(json.dumps(reply))


async def _message(websocket: WebSocket) -> Any:
    raw = await websocket.receive()
    if raw["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(raw.get("code", 1000))
    text = raw.get("text")
    if text is None:
        message = "messages are JSON texts, not bytes"
        raise invalid("INVALID_MESSAGE", message, field="message", limit="a JSON object")
    if len(text) > _MAX_MESSAGE:
        message = f"the message has {len(text)} signs"
        raise invalid("MESSAGE_TOO_LARGE", message, field="message", limit=_MAX_MESSAGE)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"the message is not JSON: {error}"
        raise ApiError(
            400, "INVALID_JSON", message, field="message", limit="JSON (RFC 8259)"
        ) from error


async def _handled(plain: Any, client: Client, deps: GatewayDeps) -> dict[str, Any]:
    try:
        message = _MESSAGES.validate_python(plain)
    except ValidationError as error:
        raise of_validation([_untagged(problem) for problem in error.errors()]) from error
    now = iso(deps.clock.now())
    if isinstance(message, Ping):
        return {"type": "pong", "timestamp": now, "id": message.id}
    if isinstance(message, Unsubscribe):
        client.subscriptions.pop(message.camera_id, None)
        client.pictures.discard(message.camera_id)
        return {"type": "unsubscribed", "timestamp": now, "camera_id": message.camera_id}
    filters = await _subscribed(message, client, deps)
    return {
        "type": "subscribed",
        "timestamp": now,
        "camera_id": message.camera_id,
        "filters": filters.render(),
        "events": message.events,
        "pictures": message.pictures,
    }


def _untagged(problem: Any) -> dict[str, Any]:
    """A problem without the message's type in its path: the client has no field of that name."""
    place = problem["loc"]
    return {**problem, "loc": place[1:] if place[:1] and place[0] in _TYPES else place}


async def _subscribed(message: Subscribe, client: Client, deps: GatewayDeps) -> Filters:
    camera_id = message.camera_id
    if camera_id != EVERY_CAMERA and await _unknown(camera_id, deps):
        raise not_found("camera", camera_id, field="camera_id")
    if len(client.subscriptions) >= _MOST_SUBSCRIPTIONS:
        text = f"at most {_MOST_SUBSCRIPTIONS} subscriptions; use *"
        raise invalid("TOO_MANY", text, field="camera_id", limit=_MOST_SUBSCRIPTIONS)
    wanted = message.filters
    filters = Filters(
        events=_chosen(message.events),
        min_confidence=wanted.min_confidence,
        person_ids=_chosen(wanted.person_ids),
    )
    client.subscriptions[camera_id] = filters or NO_FILTERS
    if message.pictures and camera_id != EVERY_CAMERA:
        client.pictures.add(camera_id)
        deps.pictures.watch([camera_id])
    return filters


def _chosen(values: Sequence[T] | None) -> frozenset[T] | None:
    return None if values is None else frozenset(values)


async def _unknown(camera_id: str, deps: GatewayDeps) -> bool:
    try:
        return await asyncio.to_thread(deps.cameras.camera, camera_id) is None
    except TransientError as error:
        raise unavailable("STORE_UNAVAILABLE", "the registry cannot be reached") from error
