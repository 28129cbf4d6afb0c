"""The bare fan-out: `websockets.broadcast` of a ready text, to compare the gateway with.

Run as `python -m bench.fanout_bare PORT`: the first line of its input is the message, every later
one makes it send that message to every client, with the time put in.
"""

import asyncio
import sys
import time
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bench.fanout_clients import sent_now

_LIMIT = 1 << 20


async def _main(port: int) -> None:
    clients: set[ServerConnection] = set()

    async def follow(client: ServerConnection) -> None:
        clients.add(client)
        with suppress(ConnectionClosed):
            async for _ in client:
                pass
        clients.discard(client)

    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    protocols = [Subprotocol("bearer")]
    async with serve(follow, "127.0.0.1", port, compression=None, subprotocols=protocols):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        text = (await lines.readline()).decode().rstrip("\n")
        while await lines.readline():
            broadcast(clients, sent_now(text, time.time_ns()))


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
