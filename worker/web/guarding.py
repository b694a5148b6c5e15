"""What every page of this program is answered with, and whence a request to change something must come."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Send

READS: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final[Mapping[str, str]] = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page_headers(*, referrer: str, forms: str = "'none'", media: str = "'self'") -> Mapping[str, str]:
    """Headers of all answers: nothing inline, nothing from elsewhere but `media`, nothing kept.

    X-Content-Type-Options is the server's, or added to these.

    Parameters
    ----------
    referrer : str
        The policy for the header Referer. With ``no-referrer`` a form's Origin is ``null``.
    forms, media : str
        Where a form may be sent, and where sound may come from, in the words of a Content-Security-Policy.
    """
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"media-src {media}; connect-src 'self'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    return {"Content-Security-Policy": policy, "Referrer-Policy": referrer, **_HEADERS}


def with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """Send answers with these headers, whatever made them."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = MutableHeaders(scope=message)
            for name, value in headers.items():
                given[name] = value
        await send(message)

    return sent


def is_from_page(headers: Headers, origins: Collection[str]) -> bool:
    """Whether a request comes from a page of ours, by Origin and Sec-Fetch-Site.

    A browser sends at least one of them with what changes something; neither may say otherwise.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None and site is None:
        return False
    return (origin is None or origin in origins) and (site is None or site == "same-origin")


def is_read_by_page(headers: Headers) -> bool:
    """Whether a request to read comes from our page, or from the browser's own line of addresses."""
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def refused(status: HTTPStatus, words: str) -> Response:
    """The answer to a request that may not pass."""
    return JSONResponse({"error": words, "code": "studio.refused"}, status)
