"""The editor: the studio's page behind the operators' login. What it asks for is made in a process of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from worker.config import Config
from worker.errors import WorkerError
from worker.operate.editing_process import EDITING_TIMINGS, EditingEndedError, EditingProcess, EditingTimings
from worker.operate.job_page import log_script
from worker.operate.passing_on import Connected, NoAnswerError, ask_once, connect, pass_on
from worker.operate.sessions import Session
from worker.service.http_connection import BODY_TIME

EDITOR: Final = "/edit"
_OPEN: Final = "/open"  # of the process; no path of a browser leads there
_PATHS: Final = ("/page/", "/api/")
_BODY_S: Final = 600.0
_MOST_AT_ONCE: Final = 32
_MOST_OPENED: Final = 8
_ENDED: Final = "the editor has ended, and what was uploaded is gone with it; ask again, and it starts anew"


class Editor:
    """Belongs to one worker. Starts its process when it is first asked for anything, and anew if that has ended.

    Parameters
    ----------
    path : str
        Where the operators' page is; the editor is below it.
    read : callable
        Gives a job of the queue for the process, by its id or the beginning of one, or raises a `WorkerError`.
    is_good : callable
        Whether a session has not ended.
    """

    def __init__(
        self,
        config: Config,
        *,
        path: str,
        read: Callable[[str], Awaitable[Mapping[str, Any]]],
        is_good: Callable[[Session], bool],
        timings: EditingTimings = EDITING_TIMINGS,
    ) -> None:
        self._config = config
        self._path = f"{path}{EDITOR}"
        self._read = read
        self._is_good = is_good
        self._timings = timings
        self._turn = asyncio.Lock()
        self._starting = threading.Lock()
        self._process: EditingProcess | None = None
        self._opened: dict[str, None] = {}  # ids of jobs, the last one last
        self._is_closed = False
        self._asked = 0

    @property
    def routes(self) -> list[BaseRoute]:
        """The page, what it asks for, and the jobs of the queue that it opens."""
        return [
            Route(EDITOR, self._to_page),
            Route(f"{EDITOR}/api/jobs/{{id}}", self._open, methods=["POST"]),
            Mount(EDITOR, self._pass_on),
        ]

    @property
    def pid(self) -> int | None:
        """Of the process that was started last."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process; from any thread."""
        with self._starting:
            self._is_closed = True
            if self._process is not None:
                self._process.close()

    async def _to_page(self, request: Request) -> Response:
        del request
        return RedirectResponse(f"{self._path}/", HTTPStatus.PERMANENT_REDIRECT)

    async def _open(self, request: Request) -> Response:
        """Load a job into the editor: its words were asked for, which is logged."""
        job = await self._read(request.path_params["id"])
        job_id = job["job_id"]
        log_script(request.state.session.id, job_id)
        process, connected = await self._connected()
        try:
            status, answer = await ask_once(connected, _OPEN, _document(job))
        except NoAnswerError:
            raise EditingEndedError(_ENDED) from None
        finally:
            process.give_back()
        self._opened.pop(job_id, None)
        self._opened[job_id] = None
        if len(self._opened) > _MOST_OPENED:
            self._opened.pop(next(iter(self._opened)))
        return Response(answer, status, media_type="application/json")

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the process answer. What no file of the page and no request of it is, is not passed on."""
        path = scope["path"].removeprefix(self._path)
        if path != "/" and not path.startswith(_PATHS):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        if self._asked >= _MOST_AT_ONCE:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "too much is being asked at once")
        scope["state"][BODY_TIME](_BODY_S)
        session: Session = scope["state"]["session"]
        self._asked += 1
        try:
            process, connected = await self._connected()
            try:
                is_allowed = lambda: self._is_good(session)  # noqa: E731
                await pass_on(scope, receive, send, to=connected, path=path, is_allowed=is_allowed)
            except NoAnswerError:
                raise EditingEndedError(_ENDED) from None
            finally:
                process.give_back()
        finally:
            self._asked -= 1

    async def _connected(self) -> tuple[EditingProcess, Connected]:
        """The process, until it is given back, and a connection to it; a new one if the last one has ended."""
        for _ in range(2):
            process = await self._taken()
            try:
                return process, await connect(process.address)
            except NoAnswerError:
                process.give_back()
                process.end("it does not answer")
        raise EditingEndedError(_ENDED)

    async def _taken(self) -> EditingProcess:
        async with self._turn:
            process = self._process
            if process is not None and process.take():
                return process
            process = await asyncio.to_thread(self._start)
            if not process.take():
                raise EditingEndedError(_ENDED)
            try:
                await self._reopen(process)
            except BaseException:
                process.give_back()
                raise
            return process

    async def _reopen(self, process: EditingProcess) -> None:
        """Have a new process know the jobs that were opened: pages that have them go on."""
        for job_id in list(self._opened):
            with suppress(WorkerError, NoAnswerError):  # one that was purged meanwhile
                await ask_once(await connect(process.address), _OPEN, _document(await self._read(job_id)))

    def _start(self) -> EditingProcess:
        with self._starting:
            if self._is_closed:
                raise EditingEndedError("the worker is about to end, and the editor with it")
            self._process = EditingProcess(self._config, self._timings)
            return self._process


def _document(job: Mapping[str, Any]) -> bytes:
    return json.dumps(job, ensure_ascii=False, default=str).encode()
