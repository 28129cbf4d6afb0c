"""`WS /api/v1/cameras/{camera_id}/push`: browsers and devices push the pictures of a camera."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError
from starlette.websockets import WebSocketState

from mesh.auth import Identity
from mesh.errors import TransientError
from results.adapters.http_audit import address_of, unkept
from results.adapters.http_deps import Deps, GatewayDeps
from results.adapters.http_edge import UNAUTHORIZED, identity_for, response_of
from results.adapters.http_errors import of_validation
from results.adapters.http_fields import Body, Moment
from results.adapters.picture_intake import accept_picture
from results.adapters.pushes import Push
from results.adapters.websocket import EXPIRED, PROTOCOL, token_of
from results.domain.audit import pushing
from results.domain.cameras import CameraEntry, is_pushed
from results.domain.endings import BROKEN, Ending
from results.domain.errors import ApiError, invalid, not_found, unavailable
from results.domain.picture import MAX_BYTES, decode_base64
from results.domain.pushed import Pushed, PushSession
from results.domain.times import iso

ANSWER_SECONDS = 1.0
"""At least between two answers of a kind."""
_CHECK_SECONDS = 15.0
_TOO_LARGE, _LATER, _SILENT = 1009, 1013, 4408
_FIELD = "image_data"
router = APIRouter()


class PictureMessage(Body):
    """A picture and when it was taken."""

    image_data: str
    timestamp: Moment | None = None


@dataclass(frozen=True, slots=True)
class _Came:
    """A message before anybody looked into it."""

    data: bytes | str

    @property
    def size(self) -> int:
        """Bytes of the picture, if it is one."""
        return len(self.data) if isinstance(self.data, bytes) else len(self.data) * 3 // 4


@router.websocket("/api/v1/cameras/{camera_id}/push")
async def push_pictures(websocket: WebSocket, camera_id: str, deps: Deps) -> None:
    """Take the pictures of one client; its token comes as the subprotocols `bearer, <token>`."""
    token = token_of(websocket)
    try:
        identity = _allowed(identity_for(deps.tokens, token))
        entry = await _entry(camera_id, deps)
    except ApiError as error:
        await websocket.send_denial_response(response_of(error))
        return
    await websocket.accept(subprotocol=PROTOCOL)
    if (full := deps.pushes.refusal(camera_id)) is not None:
        await websocket.close(full.code, full.reason)
        return
    clock = deps.clock
    session = PushSession(
        entry.camera,
        instance_id=deps.instance_id,
        client=identity.subject,
        now=clock.now(),
        monotonic=clock.monotonic(),
    )
    push = deps.pushes.join(session)
    entry_of_audit = pushing(identity.subject, address_of(websocket.scope), camera_id, clock.now())
    ending = BROKEN
    try:
        refusal = await unkept(deps.audit.note(entry_of_audit))
        if refusal is None:
            ending = await _served(websocket, push, deps, token)
        else:
            ending = Ending(code=_LATER, reason=refusal.code, error_code="dependency_unavailable")
    finally:
        deps.pushes.leave(push, ending)
    if websocket.client_state is WebSocketState.CONNECTED:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it went meanwhile
            await websocket.close(ending.code, ending.reason)


def _allowed(identity: Identity | None) -> Identity:
    if identity is None:
        raise UNAUTHORIZED
    if not identity.may("operator"):
        message = f"this needs the role operator; the token has {identity.role}"
        raise ApiError(403, "FORBIDDEN", message, field="role", limit="operator")
    return identity


async def _entry(camera_id: str, deps: GatewayDeps) -> CameraEntry:
    try:
        entry = await asyncio.to_thread(deps.cameras.camera, camera_id)
    except TransientError as error:
        raise unavailable("STORE_UNAVAILABLE", "the registry cannot be reached") from error
    if entry is None:
        raise not_found("camera", camera_id, field="camera_id")
    if not is_pushed(entry.camera.stream):
        message = "pictures are pushed for cameras of the type WEBSOCKET without ws_url"
        limit = "a camera that waits for pictures"
        raise ApiError(409, "CAMERA_NOT_PUSHED", message, field="camera_id", limit=limit)
    if not entry.camera.detection.enabled:
        message = "the camera is switched off"
        limit = "detection_config.enabled: true"
        raise ApiError(409, "CAMERA_STOPPED", message, field="camera_id", limit=limit)
    return entry


async def _served(websocket: WebSocket, push: Push, deps: GatewayDeps, token: str) -> Ending:
    """Read until one side has enough; why it ended."""
    reading = asyncio.create_task(_Reader(websocket, push, deps).read())
    checking = asyncio.create_task(_end_with(token, deps))
    tasks: set[asyncio.Future[Ending]] = {reading, checking, push.ended}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return push.ended.result() if push.ended in done else done.pop().result()
    finally:
        reading.cancel()
        checking.cancel()


async def _end_with(token: str, deps: GatewayDeps) -> Ending:
    while identity_for(deps.tokens, token) is not None:  # noqa: ASYNC110 -- time makes it invalid
        await asyncio.sleep(_CHECK_SECONDS)
    return Ending(code=EXPIRED, reason="the token has expired", error_code="unauthorized")


class _Reader:
    """Takes the messages of one client and answers now and then how it goes."""

    def __init__(self, websocket: WebSocket, push: Push, deps: GatewayDeps) -> None:
        self._websocket = websocket
        self._push = push
        self._deps = deps
        self._largest = min(push.session.camera.stream.max_message_bytes, MAX_BYTES)
        self._due = self._complain = deps.clock.monotonic()
        self._shed = 0

    async def read(self) -> Ending:
        """Read until the client goes, falls silent or sends too much at once."""
        session = self._push.session
        while True:
            silence = session.camera.stream.timeout_seconds
            try:
                await self._have_room()
                async with asyncio.timeout(silence):
                    while not await self._picture():
                        pass
                await self._answer_progress()
            except TimeoutError:
                reason = f"no picture came for {silence:g} s"
                return Ending(code=_SILENT, reason=reason, error_code="timeout")
            except WebSocketDisconnect as gone:
                return _gone(gone)
            except _TooLargeError as error:
                return Ending(code=_TOO_LARGE, reason=str(error), error_code="unsupported")

    async def _have_room(self) -> None:
        """Keep a client waiting whose pictures must not be shed."""
        while self._push.session.waits_for_room and not self._push.ended.done():
            self._push.room.clear()
            await self._push.room.wait()

    async def _picture(self) -> bool:
        """Read one message; whether it was a picture or left out by sampling."""
        came = await self._message()
        session, clock = self._push.session, self._deps.clock
        received, monotonic = clock.now(), clock.monotonic()
        if not session.keeps(came.size, monotonic):
            return True
        try:
            pushed = await self._read_picture(came, received)
        except ApiError as error:
            session.refused(error.message)
            if monotonic >= self._complain:
                self._complain = monotonic + ANSWER_SECONDS
                await self._answer("error", {"error": error.envelope()["error"]})
            return False
        if session.arrived(pushed, came.size, monotonic):
            self._deps.pushes.live(self._push)
        session.offer(pushed, clock.now())
        self._push.wake.set()
        return True

    async def _message(self) -> _Came:
        raw = await self._websocket.receive()
        if raw["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(raw.get("code", 1000), raw.get("reason"))
        data: bytes | str = raw["bytes"] if raw.get("bytes") is not None else raw["text"]
        came = _Came(data)
        if came.size > self._largest + 256:
            raise _TooLargeError(f"the message is longer than {self._largest} bytes")
        return came

    async def _read_picture(self, came: _Came, received: datetime) -> Pushed:
        taken_at: datetime | None = None
        if isinstance(came.data, str):
            data, taken_at = await asyncio.to_thread(_unpacked, came.data)
        else:
            data = came.data
        picture = accept_picture(data, field=_FIELD)
        return Pushed(picture=picture, received=received, taken_at=taken_at)

    async def _answer_progress(self) -> None:
        now = self._deps.clock.monotonic()
        if now < self._due:
            return
        self._due = now + ANSWER_SECONDS
        figures = self._push.session.statistics.figures(now)
        counts = {"accepted": figures.queued, "skipped": figures.skipped}
        await self._answer("accepted", {"received": figures.captured, **counts})
        if sum(figures.dropped.values()) > self._shed:
            self._shed = sum(figures.dropped.values())
            await self._answer("dropped", {"dropped": dict(figures.dropped)})

    async def _answer(self, kind: str, more: dict[str, Any]) -> None:
        body = {"type": kind, "timestamp": iso(self._deps.clock.now())} | more
        await self._websocket.send_text(json.dumps(body))


class _TooLargeError(Exception):
    """A message is longer than a picture may be."""


def _unpacked(text: str) -> tuple[bytes, datetime | None]:
    """The picture in a text, which is base64 or JSON, and when it was taken.

    Raises:
        ApiError: It holds none.
    """
    if not text.lstrip().startswith("{"):
        return decode_base64(text, field=_FIELD), None
    try:
        message = PictureMessage.model_validate(json.loads(text))
    except ValidationError as error:
        raise of_validation(error.errors()) from error
    except (ValueError, RecursionError) as error:
        raise invalid(
            "INVALID_JSON", "the message is not JSON", field="message", limit="JSON (RFC 8259)"
        ) from error
    return decode_base64(message.image_data, field=_FIELD), message.timestamp


def _gone(gone: WebSocketDisconnect) -> Ending:
    if gone.code in (1000, 1001, 1005):
        return Ending(code=1000, reason="the client went away")
    reason = f"the connection of the client broke ({gone.code})"
    return Ending(code=1000, reason=reason, error_code="unreachable")
