"""Fan-out: one gateway and very many WebSocket clients, beside `websockets.broadcast`.

Results are published on the topic, as the aggregator would; nothing else of the mesh runs. Both
servers send the same text at the same pace to the same clients, in turns.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from typing_extensions import override
from websockets.sync.client import connect

from bench.child import Child
from bench.fanout_clients import sent_now
from bench.figures import say, table
from bench.material import Material
from bench.site import Site, folder, plan, running
from local.network import free_ports
from mesh.events import FrameResult
from mesh.identity import frame_key
from mesh.stage import Output
from mesh.testing import a_frame_header, a_frame_result, a_result_detection

_ALONE = dict.fromkeys(("camera", "detection", "recognition", "aggregator", "writer", "keeper"), 0)
_SETTLE_SECONDS = 1.5
_OPEN_SECONDS = 60.0
FACES = 2

Send = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How many and how long."""

    clients: Sequence[int] = (500, 1000)
    rates: Sequence[int] = (5, 10, 20, 40)
    """Results per second."""
    seconds: float = 5.0
    """Of each rate."""


class Clients(Child):
    """Many clients in a process of their own; a context manager."""

    def __init__(self, url: str, count: int, token: str) -> None:
        super().__init__(["-m", "bench.fanout_clients", url, str(count)], {"BENCH_TOKEN": token})

    @override
    def __enter__(self) -> Self:
        """Connects all of them."""
        super().__enter__()
        self.connected = int(self.answer())
        return self

    def report(self) -> dict[str, float]:
        """What arrived since the last report."""
        self.tell("")
        found: dict[str, float] = json.loads(self.answer())
        return found


def measure(where: Material, options: Options) -> dict[str, Any]:
    """Gateway and bare server in turns, for every number of clients and every rate."""
    rows: list[dict[str, Any]] = []
    with folder() as layout, running(plan(layout, where, instances=_ALONE)) as site:
        gateway = f"{site.installation.url.replace('http', 'ws', 1)}/api/v1/detections/ws/fan-"
        sender = _Results(site)
        text = _a_message(site, sender, gateway)
        for count in options.clients:
            with (
                _bare(text) as (port, bare_send),
                Clients(gateway, count, site.token) as of_gateway,
                Clients(f"ws://127.0.0.1:{port}/", count, site.token) as of_bare,
            ):
                for rate in options.rates:
                    for server, clients, send in (
                        ("broadcast", of_bare, bare_send),
                        ("gateway", of_gateway, sender.send),
                    ):
                        rows.append(_run(server, clients, send, rate, options.seconds))
        rss = site.usage().rss_mb["gateway"]
    report = {"message_bytes": len(text), "rows": rows, "gateway_rss_mb": round(rss, 1)}
    head = ("server", "clients", "results/s", "messages/s", "delivered", "p50 ms", "p95 ms")
    say(table(head, [[row[name] for name in head] for row in rows]))
    return report


def _run(server: str, clients: Clients, send: Send, rate: int, seconds: float) -> dict[str, Any]:
    time.sleep(_SETTLE_SECONDS)
    clients.report()
    began = time.monotonic()
    count = round(rate * seconds)
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        send()
    sent = time.monotonic() - began
    time.sleep(_SETTLE_SECONDS)
    found = clients.report()
    row = {
        "server": server,
        "clients": clients.connected,
        "results/s": round(count / sent, 1),
        "messages/s": round(found["messages"] / sent),
        "delivered": round(found["messages"] / (count * clients.connected), 4),
        "p50 ms": round(found.get("p50", 0.0), 1),
        "p95 ms": round(found.get("p95", 0.0), 1),
    }
    say(json.dumps(row))
    return row


class _Results:
    """Publishes results of one camera; each carries the time of its sending in its name."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sequence = 0
        faces = tuple(replace(a_result_detection(), index=index) for index in range(FACES))
        self._result = a_frame_result(detections=faces)

    def send(self) -> None:
        """Publish one and hand it to the broker at once."""
        self._site.producer.send(self._output())
        self._site.producer.flush()

    def _output(self) -> Output:
        self._sequence += 1
        header = a_frame_header()
        frame = replace(
            header,
            camera_name=sent_now("sent-" + "0" * 20, time.time_ns()),
            sequence_number=self._sequence,
            frame_key=frame_key(header.camera_id, header.epoch, self._sequence),
        )
        event: FrameResult = replace(self._result, frame=frame)
        return Output(self._site.topics("results"), header.camera_id, event)


def _a_message(site: Site, sender: _Results, url: str) -> str:
    """What the gateway makes of a result."""
    with connect(
        f"{url}first",
        subprotocols=["bearer", site.token],  # type: ignore[list-item]  # a NewType of str
        compression=None,
        proxy=None,
        open_timeout=_OPEN_SECONDS,
    ) as client:
        client.send(json.dumps({"type": "subscribe", "camera_id": "*"}))
        time.sleep(_SETTLE_SECONDS)
        sender.send()
        while True:
            text = str(client.recv(_OPEN_SECONDS))
            if json.loads(text)["type"] == "detection_event":
                return text


@contextmanager
def _bare(text: str) -> Iterator[tuple[int, Send]]:
    """The bare server with its message; its port and what makes it send."""
    [port] = free_ports(1)
    with Child(["-m", "bench.fanout_bare", str(port)]) as server:
        server.answer()
        server.tell(text)
        yield port, lambda: server.tell("")
