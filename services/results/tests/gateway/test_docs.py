"""The page that describes the API needs nothing but this gateway, under the pages' own policy."""

import re

from .conftest import World


async def test_the_page_and_all_that_it_needs_come_from_the_gateway(world: World) -> None:
    async with world.client(None) as client:
        page = await client.get("/docs")
        parts = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        found = {part: await client.get(part) for part in parts}
        described = await client.get("/openapi.json")
    assert page.status_code == 200
    assert len(parts) == 4
    assert all(part.startswith("/docs/") for part in parts)
    assert {answer.status_code for answer in found.values()} == {200}
    kinds = {part: answer.headers["content-type"].split(";")[0] for part, answer in found.items()}
    assert kinds["/docs/swagger-ui.css"] == "text/css"
    assert kinds["/docs/swagger-ui-bundle.js"] == "text/javascript"
    assert "SwaggerUIBundle" in found["/docs/swagger-ui-bundle.js"].text
    assert '"/openapi.json"' in found["/docs/start.js"].text
    assert described.status_code == 200


async def test_no_script_and_no_source_from_elsewhere_is_allowed_on_it(world: World) -> None:
    async with world.client(None) as client:
        page = await client.get("/docs")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert re.findall(r"<script(?![^>]* src=)", page.text) == []
    assert "//" not in page.text.replace("</", "")


async def test_nothing_else_of_the_package_is_served(world: World) -> None:
    async with world.client(None) as client:
        answers = [await client.get(f"/docs/{name}") for name in ("__init__.py", "..%2fmain.py")]
    assert {answer.status_code for answer in answers} == {404}
