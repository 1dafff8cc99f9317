"""The web page at /: three files from this package, and a policy under which nothing else runs in it."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

# No script, style or picture but our own (and pictures that the page's own script has fetched), and no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def site_router() -> APIRouter:
    """`/` and `/page/…`."""
    router, folder = APIRouter(), files("dsocr.server") / "page"
    parts = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}

    @router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index() -> Response:
        return _answer("index.html", parts)

    @router.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        return _answer(name, parts)

    return router


def _answer(name: str, parts: dict[str, bytes]) -> Response:
    if name not in parts:
        return Response("there is no such file", 404, media_type="text/plain")
    return Response(parts[name], media_type=f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8", headers=_HEADERS)
