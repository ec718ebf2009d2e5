"""The files of the page: those of the package, and nothing else."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

from aioparcs.web.http.access import problem

__all__ = ["asset", "index"]

_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "md": "text/plain",
    "mjs": "text/javascript",
    "png": "image/png",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
_FOLDER = files("aioparcs.web") / "page"
_FRESH = {"Cache-Control": "no-cache"}  # an older version's files are not to be used with a newer one's


async def index(_: web.Request) -> web.Response:
    """Answer with the page."""
    return _answer(_FOLDER / "index.html")


async def asset(request: web.Request) -> web.Response:
    """Answer with a file of the page."""
    path = _FOLDER
    for part in request.match_info["path"].split("/"):
        if part.startswith(".") or not part or "\\" in part or "\0" in part:
            return problem(404, "there is no such file")
        path = path / part
    return _answer(path)


def _answer(path: Traversable) -> web.Response:
    kind = _TYPES.get(path.name.rpartition(".")[2], "text/plain")
    try:
        body = path.read_bytes() if path.is_file() else None
    except OSError:  # such as a name that is too long
        body = None
    if body is None:
        return problem(404, "there is no such file")
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=_FRESH)
