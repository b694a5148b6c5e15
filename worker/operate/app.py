"""The queue's page on the worker's port: its routes. `guard` stands before all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from loguru import logger
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from worker.config import Config
from worker.errors import Kind, WorkerError
from worker.logs import where
from worker.masks import masked
from worker.operate.changes import MOST, Choice, Found, Verb, as_object, change, command, find
from worker.operate.editing_process import EDITING_TIMINGS, EditingTimings
from worker.operate.editor import EDITOR, Editor
from worker.operate.feed import FEED_TIMINGS, Feed, FeedTimings
from worker.operate.guard import LOGIN, Guard, login_page
from worker.operate.job_page import job_text, local_track, log_script, script_text
from worker.operate.sessions import Session, Sessions, TooManyTriesError
from worker.operate.story import NoSuchJobError, Story, job_to_edit, read_story, whole_id
from worker.operate.summary import Summary
from worker.operate.view import json_text, paused_as_object
from worker.queue.service import Queue
from worker.service.state import State
from worker.storage.base import CONTENT_TYPES
from worker.web.bodies import json_body
from worker.web.files import page_routes
from worker.web.guarding import page_headers

PATH: Final = "/studio"
_THREADS: Final = 4
_MOST_ASKED: Final = 16  # requests that wait for the database; more are answered with 503
_LONGEST_REASON: Final = 300
_WRONG: Final = "That is not the token."
_BUSY: Final = "Too many wrong tokens are being tried. Try again in a while."
_VERBS: Final[tuple[Verb, ...]] = ("cancel", "retry", "purge")
Result = TypeVar("Result")


class OperatorsPage:
    """The page, and what it reads and does. `routes` go to the HTTP server; it belongs to one worker.

    Parameters
    ----------
    token : str
        What a browser is let in by, once; see `Sessions`.
    """

    def __init__(
        self,
        config: Config,
        queue: Queue,
        state: State,
        *,
        token: str,
        timings: FeedTimings = FEED_TIMINGS,
        editing: EditingTimings = EDITING_TIMINGS,
    ) -> None:
        self._config = config
        self._queue = queue
        self._sessions = Sessions(token, path=PATH)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="operate")
        self._asked = 0
        self._feed = Feed(Summary(queue, state).read, self._pool, timings=timings)
        self.editor = Editor(config, path=PATH, read=self._job_to_edit, is_good=self._sessions.is_good, timings=editing)

    path = PATH
    long_path = f"{PATH}{EDITOR}"

    @property
    def routes(self) -> list[BaseRoute]:
        """The page at `PATH`, and what it asks for below."""
        made = Starlette(
            routes=[
                *page_routes("worker.operate"),
                Route(LOGIN, self._login, methods=["POST"]),
                Route("/logout", self._logout, methods=["POST"]),
                Route("/api/events", self._events),
                Route("/api/queue", self._change_queue, methods=["POST"]),
                Route("/api/jobs", self._change_jobs, methods=["POST"]),
                Route("/api/jobs/{id}", self._job),
                Route("/api/jobs/{id}/script", self._script, methods=["POST"]),
                Route("/api/jobs/{id}/track", self._track),
                *self.editor.routes,
            ],
            exception_handlers={
                HTTPException: _http_error,
                NoSuchJobError: _no_such_job,
                WorkerError: _worker_error,
                Exception: _bug,
            },
        )
        made.router.redirect_slashes = False
        headers = page_headers(referrer="same-origin", forms="'self'", media=self._media())
        guarded = Guard(made, self._sessions, path=PATH, headers=headers)
        return [Route(PATH, _to_page), Mount(PATH, guarded)]

    def wake(self) -> None:
        """Something in the queue may have changed; from any thread."""
        self._feed.wake()

    def close(self) -> None:
        """End the streams, the editor, and what waits for a thread."""
        self._feed.close()
        self.editor.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _login(self, request: Request) -> Response:
        """Take the token, and answer with a cookie."""
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        (given, *_) = form.get("token", [""])
        try:
            is_token = await self._sessions.is_token(given.strip())
        except TooManyTriesError:
            return login_page(PATH, _BUSY, HTTPStatus.TOO_MANY_REQUESTS)
        if not is_token:
            logger.bind(event="studio.refused").warning("studio: a wrong token was tried")
            return login_page(PATH, _WRONG, HTTPStatus.FORBIDDEN)
        session, cookie = self._sessions.begin(request.state.host, secure=request.state.secure)
        logger.bind(event="studio.login", session=session.id).info("studio: session {} began", session.id)
        return RedirectResponse(f"{PATH}/", HTTPStatus.SEE_OTHER, {"Set-Cookie": cookie})

    async def _logout(self, request: Request) -> Response:
        """End the session."""
        cookie = self._sessions.end(request.state.session, secure=request.state.secure)
        logger.bind(event="studio.logout", session=request.state.session.id).info(
            "studio: session {} ended", request.state.session.id
        )
        return RedirectResponse(f"{PATH}/", HTTPStatus.SEE_OTHER, {"Set-Cookie": cookie})

    async def _events(self, request: Request) -> Response:
        """The whole queue, whenever it has changed."""
        session: Session = request.state.session

        async def told() -> AsyncIterator[str]:
            async for event in self._feed.stream(lambda: self._sessions.is_good(session)):
                yield event

        return StreamingResponse(told(), media_type="text/event-stream")

    async def _job(self, request: Request) -> Response:
        """All of one job but its script."""
        return await self._answer(lambda: job_text(self._story(request)))

    async def _script(self, request: Request) -> Response:
        """The payload with the customer's words; that they were asked for is logged."""
        session = request.state.session.id

        def read() -> str:
            story = self._story(request)
            log_script(session, story.job.row.job_id)
            return script_text(story)

        return await self._answer(read)

    async def _track(self, request: Request) -> Response:
        """The track where it is a file of this machine, whole or in ranges."""
        path = await self._in_pool(lambda: local_track(self._story(request)))
        root = self._config.storage_dir.resolve()
        if path is None or not path.resolve().is_relative_to(root):  # a symbolic link may lead out of it
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file on this machine")
        return FileResponse(path, media_type=CONTENT_TYPES.get(path.suffix[1:], "application/octet-stream"))

    async def _change_jobs(self, request: Request) -> Response:
        """Cancel, retry or purge jobs; with `dry_run` only say which."""
        body = await json_body(request)
        verb, choice = _verb(body), _choice(body)
        choice.check()
        session = request.state.session.id

        def act() -> str:
            found = find(self._queue, verb, choice)
            if body.get("dry_run") is True:
                has_more = len(found.ids) == MOST
                return json_text({"jobs": len(found.ids), "has_more": has_more, "command": command(verb, choice)})
            return self._changed(session, verb, choice, found)

        return await self._answer(act)

    async def _change_queue(self, request: Request) -> Response:
        """Pause the queue, or resume it."""
        body = await json_body(request)
        action, reason = body.get("action"), body.get("reason") or "no reason given"
        if action not in ("pause", "resume") or not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
            said = f"action: pause or resume is needed; reason: a text of at most {_LONGEST_REASON} characters"
            raise HTTPException(HTTPStatus.BAD_REQUEST, said)
        session = request.state.session.id

        def act() -> str:
            if action == "pause":
                self._queue.pause_queue(reason, by=f"studio session {session}")
            else:
                self._queue.resume_queue()
            logger.bind(event="studio.changed", session=session, action=action).warning(
                "studio: session {} has had the queue {}", session, f"{action}d"
            )
            self._feed.wake()
            return json_text({"paused": paused_as_object(self._queue.queue_state())})

        return await self._answer(act)

    def _changed(self, session: str, verb: Verb, choice: Choice, found: Found) -> str:
        changed = [*found.unknown, *change(self._queue, verb, found.ids)]
        done = [each.id for each in changed if each.done]
        logger.bind(event="studio.changed", session=session, action=verb, jobs=done).warning(
            "studio: session {}: {} done for {} of {} jobs", session, verb, len(done), len(changed)
        )
        self._feed.wake()
        return json_text({"jobs": [as_object(each) for each in changed], "command": command(verb, choice)})

    def _story(self, request: Request) -> Story:
        job_id = whole_id(self._queue, request.path_params["id"])
        return read_story(self._queue, job_id, self._config)

    async def _job_to_edit(self, beginning: str) -> Mapping[str, Any]:
        """A job for the editor: the row's payload as text, and what its track says of its sound."""
        return await self._in_pool(lambda: job_to_edit(self._queue, whole_id(self._queue, beginning)))

    async def _answer(self, work: Callable[[], str]) -> Response:
        return Response(await self._in_pool(work), media_type="application/json")

    async def _in_pool(self, work: Callable[[], Result]) -> Result:
        """Have it done in a thread: the server's own must not wait for the database."""
        if self._asked >= _MOST_ASKED:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "too much is being asked at once")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._asked -= 1

    def _media(self) -> str:
        """Where a track may be played from: the storage that signs its address."""
        parts = urlsplit(self._config.supabase_url or "")
        return (
            f"'self' {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            if parts.scheme in ("http", "https")
            else "'self'"
        )


async def _to_page(request: Request) -> Response:
    del request
    return RedirectResponse(f"{PATH}/", HTTPStatus.PERMANENT_REDIRECT)


def _verb(body: dict[str, Any]) -> Verb:
    for verb in _VERBS:
        if body.get("verb") == verb:
            return verb
    raise HTTPException(HTTPStatus.BAD_REQUEST, f"verb: one of {', '.join(_VERBS)} is needed")


def _choice(body: dict[str, Any]) -> Choice:
    job, code = body.get("job"), body.get("code")
    if not all(each is None or (isinstance(each, str) and 0 < len(each) <= _LONGEST_REASON) for each in (job, code)):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "job, code: a short text is needed")
    return Choice(() if job is None else (job,), failed=body.get("failed") is True, code=code)


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return JSONResponse({"error": error.detail}, error.status_code)


async def _no_such_job(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, NoSuchJobError)  # noqa: S101 - registered for it
    return JSONResponse({"error": masked(error.message), "code": error.code}, HTTPStatus.NOT_FOUND)


async def _worker_error(request: Request, error: Exception) -> Response:
    """What an operator can put right is 422, all else 503."""
    del request
    assert isinstance(error, WorkerError)  # noqa: S101 - registered for it
    is_theirs = error.kind in (Kind.PERMANENT, Kind.CONFIGURATION)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if is_theirs else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"error": masked(error.message), "code": error.code}, status)


async def _bug(request: Request, error: Exception) -> Response:
    """Tell the log where a bug is, without any value, and the page nothing of it."""
    del request
    logger.bind(event="studio.bug").error("studio: a bug, {} {}", type(error).__name__, where(error))
    return JSONResponse({"error": "a bug of this program; its log says where"}, HTTPStatus.INTERNAL_SERVER_ERROR)
