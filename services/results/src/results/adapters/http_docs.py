"""The page that describes the API: everything on it comes from this process."""

from importlib.resources import as_file, files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from results.domain.errors import not_found

router = APIRouter(prefix="/docs", include_in_schema=False)
_ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sightline API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
});
"""
"""A file of its own: the pages' policy allows no script within a page."""


@router.get("")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE)


@router.get("/start.js")
async def start() -> Response:
    """What the page begins with."""
    return Response(_START, media_type="text/javascript")


@router.get("/{name}")
async def asset(name: str) -> FileResponse:
    """A part of Swagger UI.

    Raises:
        ApiError: It has no such part.
    """
    if name not in _ASSETS:
        raise not_found("page", name, field="path")
    with as_file(files("fastapi_swagger") / "resources" / name) as path:
        return FileResponse(Path(path), headers={"Cache-Control": "max-age=86400"})
