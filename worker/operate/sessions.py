"""Who may see the queue's page: a browser that was told STUDIO_TOKEN once, and has a cookie since.

The cookie says until when it is good, which session it is, and for which host, all under a signature with a key made of
the token. So every worker with the same token knows it, no worker has to remember it, and a changed token ends it. It
is no use under another host: a name that is made to lead here (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

SESSION_S: Final = 12 * 3600
WRONG_S: Final = 1.0  # a wrong token takes so long, and those that come meanwhile wait
MOST_WAITING: Final = 8
_NAME: Final = "mindscript_studio"
_PURPOSE: Final = b"mindscript studio session 1"
_MOST_ENDED: Final = 1000
_COOKIE: Final = re.compile(r"(\d{1,12})\.([0-9a-f]{8})\.([0-9a-f]{64})")


@dataclass(frozen=True)
class Session:
    """One login: `id` names it in the log, `until` is in seconds of the clock."""

    id: str
    until: float


class TooManyTriesError(Exception):
    """Others are trying tokens, and it is not this one's turn."""


class Sessions:
    """Takes the token, gives cookies, and knows them again.

    Parameters
    ----------
    path : str
        The cookie is sent with requests below it only.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(self, token: str, *, path: str, clock: Callable[[], float] = time.time) -> None:
        self._token = token.encode()
        self._key = hmac.digest(self._token, _PURPOSE, hashlib.sha256)
        self._path = path
        self._clock = clock
        self._ended: dict[str, None] = {}  # in the order in which they ended
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def is_token(self, given: str) -> bool:
        """Whether it is the token; one at a time, and after a wrong one nobody is answered for `WRONG_S`.

        Raises
        ------
        TooManyTriesError
            If more than `MOST_WAITING` wait.
        """
        if self._waiting >= MOST_WAITING:
            raise TooManyTriesError
        self._waiting += 1
        try:
            async with self._turn:
                if hmac.compare_digest(given.encode(), self._token):
                    return True
                await asyncio.sleep(WRONG_S)
                return False
        finally:
            self._waiting -= 1

    def begin(self, host: str, *, secure: bool) -> tuple[Session, str]:
        """A new session for a host, and the value of its header Set-Cookie; `secure`: the browser came by https."""
        session = Session(secrets.token_hex(4), int(self._clock()) + SESSION_S)
        value = f"{session.until:.0f}.{session.id}.{self._signature(session, host)}"
        return session, self._set_cookie(value, SESSION_S, secure=secure)

    def end(self, session: Session, *, secure: bool) -> str:
        """Know the session no more; the value of a header Set-Cookie that takes the cookie away."""
        self._ended[session.id] = None
        if len(self._ended) > _MOST_ENDED:
            self._ended.pop(next(iter(self._ended)))
        return self._set_cookie("", 0, secure=secure)

    def find(self, cookies: str, host: str) -> Session | None:
        """The session of a header Cookie, while it is good."""
        try:
            sent = SimpleCookie(cookies).get(_NAME)
        except CookieError:
            return None
        found = None if sent is None else _COOKIE.fullmatch(sent.value)
        if found is None:
            return None
        session = Session(found[2], int(found[1]))
        is_ours = hmac.compare_digest(found[3], self._signature(session, host))
        return session if is_ours and self.is_good(session) else None

    def is_good(self, session: Session) -> bool:
        """Whether it has not ended."""
        return self._clock() < session.until and session.id not in self._ended

    def _signature(self, session: Session, host: str) -> str:
        signed = f"{session.until:.0f}.{session.id}.{host}".encode()
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()

    def _set_cookie(self, value: str, seconds: int, *, secure: bool) -> str:
        attributes = f"Path={self._path}; Max-Age={seconds}; HttpOnly; SameSite=Strict"
        return f"{_NAME}={value}; {attributes}{'; Secure' if secure else ''}"
