"""The live page in a real Chromium: sees a known person, enrols an unknown one, sees her named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.e2e.clips import shrink
from tests.e2e.observer import Mesh, wait_for

from local.sample import Sample

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 180_000
ATTEMPTS = 10
BALANCE = re.compile(r"captured [\d,]+ = processed [\d,]+( \+ (shed|failed) [\d,]+)*, open \d+")


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)  # the default of five seconds is none on a busy machine
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=str(chromium), args=FLAGS, timeout=PATIENCE
        )
        yield running
        running.close()


@pytest.fixture
def page(
    browser: Browser, mesh: Mesh, sample: Sample, grace: str, tmp_path: Path
) -> Iterator[Page]:
    """The page of a mesh with one camera and one enrolled person, signed in.

    The faces are about 70 pixels tall: well above the 48 that an enrolment asks for.
    """
    clip = shrink(sample.video, tmp_path / "clip.mp4", 480, 270)
    camera_id = mesh.add_file_camera("Sample camera", str(clip), 1, max_age_ms=30_000)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{mesh.installation.url}/#token={mesh.token}")
    yield page
    page.close()
    mesh.http.delete(f"/cameras/{camera_id}")
    for person in mesh.get("/persons", search=sample.unknown_name)["persons"]:
        mesh.http.delete(f"/persons/{person['person_id']}")
    wait_for(
        lambda: not mesh.get("/persons", search=sample.unknown_name)["persons"], 90, "not erased"
    )
    assert problems == []


def enrol_a_stranger(page: Page, name: str) -> None:
    """Name an unknown face; far away she is too small, or not found again, as the page says."""
    dialog, problem = page.locator("#face"), page.locator("#face .problem")
    settled = page.locator('#face:not([open]), #face .problem:not(:empty):not(:text("Enrolling"))')
    for _ in range(ATTEMPTS):
        page.locator('.box[data-known="false"]').first.dispatch_event("click")
        expect(dialog).to_contain_text("Unknown face")
        expect(dialog).to_contain_text("threshold")
        dialog.get_by_label("Name").fill(name)
        dialog.get_by_label("This person has consented").check()
        dialog.get_by_role("button", name="Enrol this face").click()
        expect(settled).to_be_attached()
        if dialog.is_hidden():
            return
        expect(problem).to_contain_text(re.compile("face_side_pixels|shows no face"))
        dialog.get_by_role("button", name="Close").click()
    raise AssertionError(f"all {ATTEMPTS} faces were refused")


def test_the_page_names_who_is_enrolled_and_enrols_who_is_not(page: Page, sample: Sample) -> None:
    expect(page.locator("#link")).to_have_text("live")
    known = page.locator(f'.box[data-known="true"]:has-text("{sample.person_name}")')
    expect(known.first).to_be_visible()
    assert page.url.endswith("/"), "the token stays out of the address"

    enrol_a_stranger(page, sample.unknown_name)

    named = page.locator(f'.box[data-known="true"]:has-text("{sample.unknown_name}")')
    expect(named.first).to_be_visible()
    expect(page.locator("#people")).to_contain_text(sample.unknown_name)
    expect(page.locator("#events")).to_contain_text(sample.person_name)
    expect(page.locator(".tile .book").first).to_have_text(BALANCE)
    for stage in ("camera", "detection", "recognition", "aggregator", "gateway"):
        expect(page.locator(f'#health [data-stage="{stage}"]')).to_have_attribute(
            "data-state", "ok"
        )


def test_without_a_token_the_page_asks_for_one(browser: Browser, mesh: Mesh) -> None:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(mesh.installation.url)

    page.get_by_label("Token").fill("not a token")
    page.get_by_role("button", name="Sign in").click()

    expect(page.locator("#sign-in .problem")).not_to_be_empty()
    page.context.close()
