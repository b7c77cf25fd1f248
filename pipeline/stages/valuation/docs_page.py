"""The OpenAPI page (Swagger UI), from files of this machine: a service behind a firewall has one, too, and
nobody else is told that it is read."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse

PAGE = "/docs"
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
PATHS = frozenset({PAGE, *(f"{PAGE}/{name}" for name in FILES)})
_KEPT = {"cache-control": "max-age=86400"}


def add_docs_page(app: FastAPI) -> None:
    """`PATHS`, which the OpenAPI document itself leaves out."""
    app.add_route(PAGE, _page, methods=["GET"], include_in_schema=False)
    for name in FILES:
        app.add_route(f"{PAGE}/{name}", _file, methods=["GET"], include_in_schema=False)


async def _page(request: Request) -> HTMLResponse:
    """With relative addresses, so that it also works below a proxy's path."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title=request.app.title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )


async def _file(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    path = str(files("fastapi_offline") / "static" / name)
    return FileResponse(path, media_type=FILES[name], headers=_KEPT)
