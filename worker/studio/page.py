"""The page's own files, out of the package: no build step, and nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_INDEX: Final = "index.html"


def page_routes() -> list[Route]:
    """A route for each file; the page itself is at the root."""
    return [Route("/" if name == _INDEX else f"/page/{name}", _send) for name in _names()]


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(each.name for each in _folder().iterdir() if each.name[each.name.rfind(".") :] in _TYPES))


def _folder() -> Traversable:
    return files("worker.studio") / "page_files"


async def _send(request: Request) -> Response:
    name = request.url.path.removeprefix("/page/") if request.url.path != "/" else _INDEX
    ending = name[name.rfind(".") :]
    return Response((_folder() / name).read_bytes(), media_type=_TYPES[ending])
