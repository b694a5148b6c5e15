"""The files of a page, out of the package: no build step, and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES: Final[Mapping[str, str]] = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_INDEX: Final = "index.html"
_SHARED: Final = "worker.web"


def page_routes(package: str) -> list[Route]:
    """A route for each file in `page_files` of a package and in those that all pages share.

    The page itself is at the root, all others are below ``/page/``. No path of a request is looked for on the disk.
    """
    return [
        Route("/" if name == _INDEX else f"/page/{name}", _sender(owner, name))
        for owner in (package, _SHARED)
        for name in _names(owner)
    ]


def _names(package: str) -> list[str]:
    return sorted(each.name for each in (files(package) / "page_files").iterdir() if _ending(each.name) in _TYPES)


def _ending(name: str) -> str:
    return name[name.rfind(".") :]


def _sender(package: str, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        del request
        return Response((files(package) / "page_files" / name).read_bytes(), media_type=_TYPES[_ending(name)])

    return send
