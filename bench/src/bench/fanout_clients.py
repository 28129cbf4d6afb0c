"""Many WebSocket clients in one process; run as `python -m bench.fanout_clients URL COUNT`.

A line on its input (any) makes it answer with a line of JSON: what arrived since the line before.
The time of sending is read from the message; its place is found once, not by parsing each.
"""

import asyncio
import json
import os
import re
import sys
import time

import numpy as np
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from typing_extensions import override

MARK = b"sent-"
"""Before the time of sending, 20 digits of nanoseconds since 1970."""
_DIGITS = 20
_AT_ONCE = 50
_SENT = re.compile(rf"{MARK.decode()}\d{{{_DIGITS}}}")


def sent_now(text: str, nanoseconds: int) -> str:
    """The message with this time of sending."""
    return _SENT.sub(f"{MARK.decode()}{nanoseconds:0{_DIGITS}d}", text, count=1)


class Arrivals:
    """Delays of what arrived, milliseconds."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.bytes = 0

    def take(self, payload: bytes) -> None:
        """Note a message."""
        place = payload.find(MARK)
        if place < 0:
            return
        start = place + len(MARK)
        sent = int(payload[start : start + _DIGITS])
        self.delays.append((time.time_ns() - sent) / 1e6)
        self.bytes += len(payload)

    def report(self) -> dict[str, float]:
        """Figures since the last report."""
        delays, size = np.asarray(self.delays), self.bytes
        self.delays, self.bytes = [], 0
        if not len(delays):
            return {"messages": 0, "bytes": 0}
        found = {f"p{share}": float(np.percentile(delays, share)) for share in (50, 95, 99)}
        return {"messages": len(delays), "bytes": size, **found}


class _Client(WSListener):
    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, b'{"type": "subscribe", "camera_id": "*"}')

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        else:
            self._arrivals.take(frame.get_payload_as_bytes())


async def _serve(url: str, count: int, token: str) -> None:
    arrivals = Arrivals()
    headers = {"Sec-WebSocket-Protocol": f"bearer, {token}"}
    connections = []
    for start in range(0, count, _AT_ONCE):
        connections += await asyncio.gather(
            *(
                ws_connect(lambda: _Client(arrivals), f"{url}{number}", extra_headers=headers)
                for number in range(start, min(start + _AT_ONCE, count))
            )
        )
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    sys.stdout.write(f"{len(connections)}\n")
    sys.stdout.flush()
    while await lines.readline():
        sys.stdout.write(json.dumps(arrivals.report()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), os.environ["BENCH_TOKEN"]))
