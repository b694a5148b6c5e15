"""What stands before the queue's page on the worker's port: nothing passes without a session but the login."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.operate.sessions import Sessions
from worker.web.guarding import READS, is_from_page, is_read_by_page, refused, with_headers

LOGIN = "/login"
_PAGES = frozenset({"/", "/edit/"})  # of which a stranger sees the login
_OPEN_FILES = frozenset({"/page/base.css"})  # the login has to look like something
_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    '<title>Queue: log in</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{path}/page/base.css">'
    '</head><body><main class="login"><form class="card" method="post" action="{path}/login"><h1>Queue</h1>{said}'
    '<p><label for="token">Token (<code>STUDIO_TOKEN</code> of the worker)</label></p>'
    '<input type="password" id="token" name="token" autocomplete="current-password" required autofocus>'
    '<p class="actions"><button type="submit" class="main">Log in</button></p></form></main></body></html>'
)


class Guard:
    """Middleware around the whole page, so that each answer has its headers; refuses before the application is asked.

    Parameters
    ----------
    path : str
        Where the page is.
    headers : mapping
        Of all answers.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, *, path: str, headers: Mapping[str, str]) -> None:
        self._app = app
        self._sessions = sessions
        self._path = path
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._refusal(scope) or self._app)(scope, receive, with_headers(send, self._headers))

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what may not pass; what passes finds host, scheme and session in the request's state."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        secure = came_by_https(headers)
        path = scope["path"].removeprefix(self._path)
        is_read = scope["method"] in READS
        if is_read and path not in _PAGES and not is_read_by_page(headers):
            return refused(HTTPStatus.FORBIDDEN, "this request comes from another page")
        if not is_read and not is_from_page(headers, {f"{'https' if secure else 'http'}://{host}"}):
            return refused(HTTPStatus.FORBIDDEN, "this request comes from another page")
        session = self._sessions.find(headers.get("cookie", ""), host)
        scope.setdefault("state", {}).update(session=session, host=host, secure=secure)
        if session is not None or (is_read and path in _OPEN_FILES) or (not is_read and path == LOGIN):
            return None
        if is_read and path in _PAGES:
            return login_page(self._path)
        return refused(HTTPStatus.UNAUTHORIZED, "log in first")


def came_by_https(headers: Headers) -> bool:
    """Whether the browser came by https, as one of the routers on the way says: the first of them ends the encryption.

    Who says so without a router only keeps the cookie from itself.
    """
    return "https" in {each.strip().lower() for each in headers.get("x-forwarded-proto", "").split(",")}


def login_page(path: str, said: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """The form for the token; `said` is what became of the last try, in words of ours."""
    words = f'<p class="error" role="alert">{said}</p>' if said else ""
    return HTMLResponse(_PAGE.format(path=path, said=words), status)
