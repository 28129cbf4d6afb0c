import json

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from mesh.events import FrameResult
from mesh.record import Headers
from mesh.testing import a_frame_result, a_record
from mesh.topics import Topics
from results.adapters.gateway_metrics import GatewayMetrics, MeasuredRequests
from results.adapters.live import LiveState, NameCache
from results.adapters.live_answers import Answers
from results.adapters.live_feed import Feed
from results.adapters.live_hub import QUEUE, Client, Delivery, Hub
from results.domain.filters import Filters

from .conftest import World


def value(figures: CollectorRegistry, name: str, **labels: str) -> float | None:
    return figures.get_sample_value(name, labels)


async def test_requests_are_counted_by_route_template_never_by_path(world: World) -> None:
    figures = CollectorRegistry()
    app = MeasuredRequests(world.app, GatewayMetrics(figures))
    transport = httpx2.ASGITransport(app=app)
    headers = {"Authorization": f"Bearer {world.token()}"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://gateway", headers=headers
    ) as client:
        await client.get("/api/v1/detections/det_1")
        await client.get("/api/v1/nothing-here")
        await client.request("BREW", "/api/v1/cameras")

    requests = "sightline_http_requests_total"
    found = {
        (s.labels["route"], s.labels["method"], s.labels["status"])
        for metric in figures.collect()
        for s in metric.samples
        if s.name == requests
    }
    assert ("/api/v1/detections/{detection_id}", "GET", "422") in found
    assert ("unmatched", "GET", "404") in found
    assert {method for _, method, _ in found} == {"GET", "other"}
    assert not [route for route, _, _ in found if "det_1" in route or "nothing" in route]


async def test_a_request_that_ends_in_an_exception_counts_as_500() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a bug")

    figures = CollectorRegistry()
    transport = httpx2.ASGITransport(app=MeasuredRequests(broken, GatewayMetrics(figures)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with pytest.raises(RuntimeError):
            await client.get("/")
    labels = {"route": "unmatched", "method": "GET", "status": "500"}
    assert value(figures, "sightline_http_requests_total", **labels) == 1


async def test_clients_and_their_messages_are_counted() -> None:
    figures = CollectorRegistry()
    metrics = GatewayMetrics(figures)
    hub, client = Hub(metrics), Client("c", metrics)
    hub.join(client)
    assert value(figures, "sightline_websocket_clients") == 1
    for _ in range(QUEUE + 2):
        client.offer("{}")
    assert value(figures, "sightline_websocket_messages_dropped_total") == 2
    await client.next()
    client.sent()
    assert value(figures, "sightline_websocket_messages_sent_total") == 1
    hub.leave(client)
    assert value(figures, "sightline_websocket_clients") == 0


async def test_a_frame_is_delivered_once_to_the_first_client_that_takes_it() -> None:
    told: list[str] = []
    hub, first, second = Hub(), Client("1"), Client("2")
    for client in (first, second):
        client.subscriptions["*"] = Filters()
        hub.join(client)
    result = a_frame_result()

    hub.detections(result, {"data": {"detections": []}}, Delivery(lambda: told.append("sent")))
    assert not told
    for client in (second, first):
        assert json.loads(await client.next())
        client.sent()

    assert told == ["sent"]


async def test_the_feed_hands_the_frame_with_its_trace_to_its_observer(world: World) -> None:
    seen: list[tuple[str, Headers]] = []

    class Observer:
        now = world.deps.clock.now

        def sent(self, result: FrameResult, headers: Headers, since: object) -> None:
            seen.append((result.frame.frame_key, headers))

        def alerting(self, frame_key: str) -> None:
            seen.append((frame_key, {}))

    hub, client = Hub(), Client("c")
    client.subscriptions["*"] = Filters()
    hub.join(client)
    feed = Feed(
        topics=Topics(),
        state=LiveState(),
        names=NameCache(world.deps.persons),
        answers=Answers(),
        hub=hub,
        pushes=world.deps.pushes,
        observer=Observer(),
    )
    feed._in_loop = lambda action: action()  # type: ignore[method-assign]
    headers = {"traceparent": b"00-..."}
    record = a_record(a_frame_result(), headers=headers)

    feed.handle(record)
    await client.next()
    client.sent()

    assert seen == [(record.event.frame.frame_key, headers)]
