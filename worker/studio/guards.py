"""Who may use the studio: this machine's own browser, once it has shown the token of the printed address.

Any page that a browser has open may send requests to 127.0.0.1, and any name may be made to lead there (DNS
rebinding). So the Host must be ours, whatever changes something must come from our own page, and everything needs a
cookie that only the token's address gives. Cookies are not kept apart by port: ours has the port in its name.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.web.guarding import READS, is_from_page, is_read_by_page, page_headers, refused, with_headers

_HEADERS: Final = {**page_headers(referrer="no-referrer"), "X-Content-Type-Options": "nosniff"}
_WELCOME = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/">'
    '<title>Studio</title><p><a href="/">Open the studio</a></p></html>'
)
_STRANGER = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Studio</title>'
    "<h1>This studio does not know this browser</h1><p>Open the address that the studio has printed, with its token. "
    "It works once; after that, end the studio with Ctrl-C and start it again.</p></html>"
)


class Access:
    """The token, which is void once it was used, and the cookie that it is exchanged for."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self._cookie = secrets.token_urlsafe(32)
        self._name = f"studio_{port}"
        self._lock = threading.Lock()
        self._is_void = False

    def exchange(self, token: str) -> str | None:
        """Take the token, and give the value of a header Set-Cookie; None for a wrong or a void one."""
        with self._lock:
            if self._is_void or not hmac.compare_digest(token.encode(), self.token.encode()):
                return None
            self._is_void = True
        return f"{self._name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"

    def knows(self, cookies: str) -> bool:
        """Whether a header Cookie has ours."""
        try:
            found = SimpleCookie(cookies).get(self._name)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._cookie.encode())


class Guard:
    """Middleware: lets nothing through but requests of the page that it has let in.

    What it refuses is refused before its body is read.
    """

    def __init__(self, app: ASGIApp, *, port: int, access: Access) -> None:
        self._app = app
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self._origins = frozenset(f"http://{host}" for host in self._hosts)
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        await (self._refusal(scope) or self._app)(scope, receive, with_headers(send, _HEADERS))

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what may not pass, and to the token."""
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:
            return refused(HTTPStatus.MISDIRECTED_REQUEST, "the studio is at 127.0.0.1 only")
        at_root = scope["path"] == "/"
        if scope["method"] not in READS:
            if not is_from_page(headers, self._origins):
                return refused(HTTPStatus.FORBIDDEN, "this request comes from another page")
        elif not at_root and not is_read_by_page(headers):
            return refused(HTTPStatus.FORBIDDEN, "this request comes from another page")
        if self._access.knows(headers.get("cookie", "")):
            return None
        if at_root and scope["method"] in READS:
            (token, *_) = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
            cookie = self._access.exchange(token)
            if cookie is None:
                return HTMLResponse(_STRANGER, HTTPStatus.FORBIDDEN)
            # A page of our own that leads on, rather than a redirect: after a click on another site's link a redirect
            # would count as that site's, and come without the cookie.
            return HTMLResponse(_WELCOME, headers={"Set-Cookie": cookie})
        return refused(HTTPStatus.UNAUTHORIZED, "open the address that the studio has printed")
