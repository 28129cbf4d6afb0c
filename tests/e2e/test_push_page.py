"""A browser pushes what its pretended camera shows; the ledger tells what became of it."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright
from tests.e2e.observer import Mesh, wait_for
from tests.e2e.test_page import FLAGS, PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.e2e]
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def balanced(mesh: Mesh, camera_id: str) -> dict[str, Any] | None:
    """The camera's books once its session is closed and nothing is open."""
    cameras: list[dict[str, Any]] = mesh.get("/ledger", camera_id=camera_id)["cameras"]
    if not cameras or cameras[0]["open"] or not cameras[0]["epochs"][0]["closed_at"]:
        return None
    return cameras[0]


def processed(mesh: Mesh, camera_id: str) -> int:
    """How many of its pictures went through, as far as the gateway has heard."""
    session = mesh.get(f"/cameras/{camera_id}")["session"]
    return int(session["statistics"]["frames_processed"]) if session else 0


def test_what_a_browser_pushes_is_processed_and_in_the_books(chromium: Path, mesh: Mesh) -> None:
    body = {
        "name": "Phone",
        "stream_config": {"stream_type": "WEBSOCKET"},
        "detection_config": {"fps_limit": 2, "max_age_ms": 30_000},
    }
    camera_id = str(mesh.post("/cameras", body)["camera_id"])
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium), args=FLAGS + FAKE_CAMERA, timeout=PATIENCE
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{mesh.installation.url}/push.html?camera={camera_id}#token={mesh.token}")
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#accepted")).not_to_have_text("0")
        wait_for(lambda: processed(mesh, camera_id), 180, "no pushed picture was processed")
        page.get_by_role("button", name="Stop").click()
        browser.close()
    book = wait_for(lambda: balanced(mesh, camera_id), 180, "the books do not balance")
    assert book["processed"] > 0
    assert book["lost"]["total"] == 0, book
    assert book["captured"] == sum(
        (book["processed"], book["shed"]["total"], book["failed"]["total"])
    ), book
    wait_for(
        lambda: mesh.get(f"/cameras/{camera_id}")["status"]["state"] == "stopped",
        90, "the session is not told to be over",
    )  # fmt: skip
    assert mesh.http.delete(f"/cameras/{camera_id}").status_code == 204
