"""What the gateway logs while it serves a request carries the request's trace and identifier."""

import asyncio
import io
import json
import logging
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from mesh.logs import configure_logs
from mesh.settings import MeshSettings
from results.adapters.http_deps import trace_headers
from results.adapters.http_edge import RequestIds

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_line_joins_the_client_s_trace_and_identifier() -> None:
    out = io.StringIO()
    configure_logs("results", MeshSettings(instance_id="gateway-0"), out)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logging.getLogger("endpoint").warning("in between")
        headers = trace_headers(Request(scope))
        await Response(headers["traceparent"])(scope, receive, send)

    transport = httpx2.ASGITransport(app=RequestIds(app))
    sent = {"X-Request-ID": "mine-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/", headers=sent)

    line = json.loads(out.getvalue().splitlines()[0])
    assert answer.headers["X-Request-ID"] == line["request_id"] == "mine-1"
    assert line["trace_id"] == TRACE
    assert answer.text == f"00-{TRACE}-{line['span_id']}-01"


@pytest.mark.usefixtures("socket_enabled")
@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
async def test_no_line_holds_the_token_of_a_websocket(level: Any) -> None:
    out = io.StringIO()
    configure_logs("results", MeshSettings(instance_id="gateway-0", log_level=level), out)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept(subprotocol="bearer")
        await socket.send_text(socket.scope["subprotocols"][1])
        await socket.close()

    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), serving.exception()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    protocols = [Subprotocol("bearer"), Subprotocol("a-token")]
    async with connect(f"ws://127.0.0.1:{port}/feed", subprotocols=protocols) as client:
        assert await client.recv() == "a-token"
    server.should_exit = True
    await serving

    assert "a-token" not in out.getvalue()
    assert ("accepted" in out.getvalue()) is (level != "WARNING")
