"""The live page in a real Chromium before a gateway whose mesh is in memory."""

import asyncio
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

from mesh.events import (
    Activity,
    BoundingBox,
    CameraStatus,
    FaceAttributes,
    Liveness,
    ModelUse,
    StreamState,
    StreamType,
)
from mesh.testing import (
    CAMERA_ID,
    a_frame_header,
    a_frame_result,
    a_person,
    a_record,
    a_result_detection,
    a_sighting,
)
from results.domain.balance import Balance, CameraBalance, EpochBalance
from results.domain.filters import DETECTIONS, SIGHTINGS

from .conftest import World, a_model

pytestmark = pytest.mark.browser
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PATIENCE = 180_000


def until(condition: Callable[[], bool]) -> None:
    """Waits for what the page causes in the gateway."""
    end = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def served(world: World) -> Iterator[str]:
    """The world's gateway at a port of its own."""
    server = uvicorn.Server(uvicorn.Config(world.app, port=0, log_config=None, access_log=False))
    begun = threading.Event()

    async def serve() -> None:
        world.feed.attach(asyncio.get_running_loop())
        begin = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 -- the server has no event for it
            await asyncio.sleep(0.01)
        begun.set()
        await begin

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert begun.wait(90)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def feed(world: World) -> Callable[[], None]:
    """Lets a frame with a face that stands in front of a car arrive, and somebody who fell."""
    face = a_result_detection(
        attributes=FaceAttributes(
            left_eye_openness=0.3, liveness=Liveness(score=0.9, model_id="minifasnet-v2")
        )
    )
    fall = Activity(name="fall", score=0.8, model_id="fall-heuristic")
    car, person = (
        a_result_detection(
            detection_id=f"det_00000000-0000-4000-8000-00000000000{number}",
            detection_type=kind, class_name=name, decision=None, quality=None, activity=activity,
            box=BoundingBox(x1=200.0 * number, y1=50.0, x2=200.0 * number + 150, y2=200.0),
        )
        for number, (kind, name, activity) in enumerate(
            [("vehicle", "car", None), ("person", "person", fall)], 2
        )
    )  # fmt: skip
    use = ModelUse(
        task="face-detection", model_id="yunet-2023mar", name="YuNet", version="2023mar",
        device="CPU", engine="onnxruntime", latency_ms=1.0, fallback_used=True,
    )  # fmt: skip
    numbers = iter(range(1000))

    def arrive() -> None:
        frame = a_frame_header(sequence_number=next(numbers))
        result = a_frame_result(frame=frame, detections=(face, car, person), models=(use,))
        world.feed.handle(a_record(result, topic="sightline.results"))

    return arrive


@pytest.fixture
def page(world: World, chromium: str) -> Iterator[Page]:
    """The page, signed in, of a gateway with one camera and a model that has failed."""
    world.add_camera(camera_id=CAMERA_ID)
    later = datetime.now(UTC) + timedelta(minutes=30)  # else it would be silent on a slow machine
    failed = a_model(state="failed", heartbeat_at=later)
    world.deps.state.set_model(failed.model_id, failed)
    expect.set_options(timeout=PATIENCE)
    with served(world) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=PATIENCE)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{url}/#token={world.token()}")
        expect(page.locator("#link")).to_have_text("live")
        until(lambda: world.deps.hub.wants(CAMERA_ID, DETECTIONS))
        yield page
        browser.close()


def test_of_many_cameras_only_those_in_view_are_followed_and_any_is_found(
    page: Page, world: World
) -> None:
    names = {f"cam_{uuid.UUID(int=number)}": f"Side gate {number}" for number in range(100, 160)}
    for camera_id, name in names.items():
        world.add_camera(camera_id=camera_id, name=name)
    first, last = names[min(names)], max(names)
    expect(page.locator(".tile")).to_have_count(61)
    expect(page.locator(".tile b")).to_have_text(["Main Entrance", *names.values()])

    def followed(camera_id: str) -> bool:
        return world.deps.hub.wants(camera_id, DETECTIONS)

    until(lambda: followed(CAMERA_ID))
    assert not followed(last)
    assert world.deps.hub.wants(last, SIGHTINGS)
    arrive = feed(world)
    with page.expect_request(re.compile("/picture")) as asked:
        arrive()
    assert "width=" not in asked.value.url
    boxes = page.locator(f'[data-camera="{CAMERA_ID}"] .box')
    expect(boxes.first).to_be_attached()

    page.locator(f'[data-camera="{last}"]').scroll_into_view_if_needed()
    until(lambda: followed(last) and not followed(CAMERA_ID))
    expect(boxes).to_have_count(0)

    page.get_by_label("Find a camera").fill(f"{first.lower()} ")
    visible = page.locator(".tile:visible")
    expect(page.locator("#states button").first).to_have_text("all 1")
    expect(visible).to_have_count(1)
    expect(visible).to_contain_text(first)
    until(lambda: followed(min(names)) and not followed(last))
    page.get_by_label("Find a camera").fill("nowhere")
    expect(page.get_by_text("No camera matches.")).to_be_visible()
    page.get_by_label("Find a camera").fill("")
    page.get_by_role("button", name="stopped").click()
    expect(visible).to_have_count(0)
    page.get_by_role("button", name="all").click()
    expect(visible).to_have_count(61)

    page.get_by_label("Size of the pictures").select_option("small")
    page.reload()
    expect(page.get_by_label("Size of the pictures")).to_have_value("small")
    expect(page.locator("#cameras")).to_have_attribute("data-size", "small")
    page.locator(f'[data-camera="{CAMERA_ID}"]').scroll_into_view_if_needed()
    until(lambda: followed(CAMERA_ID))
    with page.expect_request(re.compile("/picture")) as asked:
        arrive()
    assert asked.value.url.endswith("&width=240")


def test_of_many_people_any_is_found_named_and_given_another_sample(
    page: Page, world: World
) -> None:
    people = {
        f"per_{uuid.UUID(int=number)}": a_person(
            person_id=f"per_{uuid.UUID(int=number)}", name=f"Person {number}"
        )
        for number in range(100, 220)
    }
    last = max(people)
    world.persons.known.update(people)
    sighting = a_sighting(person_id=last)
    world.results.seen.append(sighting)
    page.reload()
    listed, seen = page.locator("#people li"), page.locator("#events")
    expect(listed).to_have_count(50)
    expect(page.get_by_text("There are more: look for a name.")).to_be_visible()
    expect(seen).to_contain_text("Person 219")

    search = page.get_by_label("Find a person")
    search.fill("person 219")
    expect(listed).to_have_count(1)
    expect(page.get_by_text("There are more")).to_be_hidden()
    renamed = replace(people[last], name="Grace Hopper", revision=1)
    world.persons.known[last] = renamed
    world.feed.handle(a_record(renamed, topic="sightline.persons"))
    search.fill("grace")
    expect(listed).to_contain_text("Grace Hopper")
    expect(seen).to_contain_text("Grace Hopper")

    until(lambda: world.deps.hub.wants(CAMERA_ID, DETECTIONS))
    stranger = replace(a_result_detection(), decision=None)
    result = a_frame_result(frame=a_frame_header(sequence_number=2000), detections=(stranger,))
    world.feed.handle(a_record(result, topic="sightline.results"))
    page.locator('.box[data-known="false"]').dispatch_event("click")
    dialog = page.locator("#face")
    dialog.get_by_label("Name").fill("Grace Hopper")
    expect(dialog.locator('option[value="Grace Hopper"]')).to_be_attached()
    dialog.get_by_label("This person has consented").check()
    with page.expect_request(lambda request: request.method == "POST") as posted:
        dialog.get_by_role("button", name="Enrol this face").click()
    assert posted.value.url.endswith(f"/api/v1/persons/{last}/faces")

    first, long = min(people), "Grace " + "Brewster " * 15 + "Hopper"
    world.persons.known[first] = replace(people[first], name=long)
    dialog.get_by_label("Name").fill(long)
    with page.expect_request(lambda request: request.method == "POST") as posted:
        dialog.get_by_role("button", name="Enrol this face").click()
    assert posted.value.url.endswith(f"/api/v1/persons/{first}/faces")


def test_objects_have_boxes_of_their_own_and_ill_models_are_seen(page: Page, world: World) -> None:
    feed(world)()
    car = page.locator('.box[data-type="object"]:has-text("car")')
    expect(car).to_be_visible()
    expect(page.locator('.box[data-type="object"]:has-text("person: fall")')).to_be_visible()
    known = page.locator('.box[data-known="true"]')
    expect(known).to_have_count(1)
    colours = [
        each.evaluate("box => getComputedStyle(box).borderTopColor") for each in (car, known)
    ]
    assert colours[0] != colours[1]

    car.dispatch_event("click")
    dialog = page.locator("#face")
    expect(dialog).to_contain_text("car")
    expect(dialog.get_by_role("button", name="Enrol this face")).to_have_count(0)
    dialog.get_by_role("button", name="Close").click()
    known.dispatch_event("click")
    expect(dialog).to_contain_text("minifasnet-v2")
    expect(dialog).to_contain_text("YuNet on CPU")

    model = page.locator('#models li[data-model="yunet-2023mar"]')
    expect(model).to_have_attribute("data-state", "failed")
    expect(model.locator(".state")).to_have_text("failed")
    expect(page.locator('#health [data-stage="detection"]')).to_have_attribute("data-state", "down")


def a_status(state: StreamState, **changes: Any) -> CameraStatus:
    return CameraStatus(
        camera_id=CAMERA_ID, camera_name="Door", instance_id="camera-1", state=state,
        updated_at=datetime.now(UTC), **changes,
    )  # fmt: skip


def test_a_stream_without_pictures_says_why_what_to_do_and_what_was_dropped(
    page: Page, world: World
) -> None:
    tile = page.locator(f'[data-camera="{CAMERA_ID}"]')
    waits = a_status(StreamState.CONNECTING, details="waits for its turn: others are connecting")
    world.feed.handle(a_record(waits, topic="sightline.camera-status"))
    expect(tile.locator(".waiting")).to_have_text(
        "Waiting for pictures (connecting): waits for its turn: others are connecting"
    )
    expect(tile.locator(".dropped")).to_be_hidden()
    failed = a_status(
        StreamState.ERROR, error_code="unauthorized", last_error="the camera refuses the password",
        reconnection_attempts=2, next_retry_at=datetime.now(UTC) + timedelta(minutes=30),
        clock_skew_ms=-3200.0, clock_jumps=2,
        frames_dropped={"ring": 12, "no_motion": 1400, "broken_picture": 3, "max_age": 0},
    )  # fmt: skip
    world.feed.handle(a_record(failed, topic="sightline.camera-status"))
    expect(tile).to_have_attribute("data-state", "error")
    expect(tile.locator(".waiting")).to_have_text(
        re.compile(
            r"unauthorized: the camera refuses the password\. Attempting reconnection\.\s+"
            r"Change its name and password\.\s+Next attempt \(3\): [\d:]+( [AP]M)?\."
        )
    )
    expect(tile.locator(".hint")).to_have_text(
        "its clock is 3.2 s behind, its clock jumped 2 times"
    )
    expect(tile.locator(".dropped")).to_have_text(
        "not sent: quiet 1,400, ring 12, broken picture 3"
    )


def test_no_camera_and_no_balance_is_left_out_because_there_are_many(
    page: Page, world: World
) -> None:
    def heard_of(camera_id: str) -> CameraBalance:
        now = datetime.now(UTC)
        epoch = EpochBalance(
            epoch=1, lane="live", opened_at=now, seen_at=now, closed_at=None, settled=False,
            balance=Balance(1200, 1200),
        )  # fmt: skip
        return CameraBalance(camera_id=camera_id, camera_name=None, epochs=[epoch])

    others = [f"cam_00000000-0000-4000-0000-{number:012}" for number in range(100)]
    world.ledger.extend(heard_of(camera_id) for camera_id in [*others, CAMERA_ID])
    for camera_id in others[:20]:
        world.add_camera(camera_id=camera_id, name=f"Before {camera_id}")
    page.reload()
    expect(page.locator("[data-camera]")).to_have_count(21)
    book = page.locator(f'[data-camera="{CAMERA_ID}"] .book')
    expect(book).to_have_text("captured 1,200 = processed 1,200, open 0")


def test_a_browser_pushes_the_pictures_of_its_camera(world: World, chromium: str) -> None:
    expect.set_options(timeout=PATIENCE)
    with served(world) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=FLAGS + FAKE_CAMERA, timeout=PATIENCE
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
        page.goto(f"{url}/push.html#token={world.token()}")
        expect(page.locator("#toggle")).to_be_disabled()
        page.get_by_role("button", name="Add this device").click()
        expect(page.locator("#toggle")).to_be_enabled()
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#accepted")).not_to_have_text("0")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#link")).to_have_text("not connected")
        browser.close()
    frames = [each.frame for each in world.sent("frames.live")]
    numbers = defaultdict(list)
    for frame in frames:
        numbers[frame.epoch].append(frame.sequence_number)
    # A page that was cut off connects anew, with an epoch of its own.
    assert all(seen == list(range(len(seen))) for seen in numbers.values())
    assert {frame.stream_type for frame in frames} == {StreamType.WEBSOCKET}
    closings = [entry for entry in world.sent("ledger") if entry.closes_epoch]
    assert {each.epoch: each.ranges[0].last for each in closings} == {
        epoch: seen[-1] for epoch, seen in numbers.items()
    }
    assert problems == []


def test_the_description_of_the_api_shows_without_any_other_server(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page.url.split("#")[0].rstrip("/") + "/docs")
    expect(page.get_by_text("/api/v1/detections/process-frame").first).to_be_visible()
    origin = page.url.removesuffix("/docs")
    assert [url for url in asked if not url.startswith((origin, "data:", "blob:"))] == []
