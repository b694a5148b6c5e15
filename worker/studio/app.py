"""The studio's routes: the page, and what it asks for. `guards` stands before all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

from loguru import logger
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from worker.config import Config
from worker.errors import Kind, WorkerError
from worker.logs import where
from worker.masks import masked
from worker.payload.schema import RenderJob
from worker.render.materials import Materials
from worker.render.previewer import RenderedSpan, UnpaidSpeechError
from worker.studio.checking import check
from worker.studio.folder import StudioFolder
from worker.studio.hearing import Asked, Hearing, OvertakenError, wav_of
from worker.studio.renders import ENDED, Renders
from worker.studio.starts import Start, start_document
from worker.web.bodies import json_body, receive_file
from worker.web.files import page_routes

LONGEST_SPAN_S: Final = 60.0
_LOOK_S: Final = 0.2
_LONGEST_DECK: Final = 64
Result = TypeVar("Result")


@dataclass(frozen=True)
class StudioContext:
    """What the routes share."""

    config: Config
    materials: Materials
    folder: StudioFolder
    hearing: Hearing
    renders: Renders
    start: Start


def application(context: StudioContext, *further: BaseRoute) -> Starlette:
    """The studio as an ASGI application, with further routes; whoever serves it says who may use it."""
    api = _Api(context)
    routes = [
        *page_routes("worker.studio"),
        Route("/api/start", api.start),
        Route("/api/check", api.check, methods=["POST"]),
        Route("/api/hear", api.hear, methods=["POST"]),
        Route("/api/lanes", api.lanes, methods=["POST"]),
        Route("/api/measure", api.measure, methods=["POST"]),
        Route("/api/uploads", api.upload, methods=["POST"]),
        Route("/api/renders", api.render, methods=["POST"]),
        Route("/api/renders/{id}/cancel", api.cancel, methods=["POST"]),
        Route("/api/renders/{id}/events", api.events),
        Route("/api/files/{id}", api.file),
        *further,
    ]
    made = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _http_error,
            WorkerError: _worker_error,
            OvertakenError: _overtaken,
            ClientDisconnect: _overtaken,
            Exception: _bug,
        },
    )
    made.router.redirect_slashes = False
    return made


class _Api:
    def __init__(self, context: StudioContext) -> None:
        self._context = context

    async def start(self, request: Request) -> Response:
        """What the page needs once."""
        del request
        context = self._context
        return JSONResponse(
            await asyncio.to_thread(start_document, context.start, context.folder, context.config),
        )

    async def check(self, request: Request) -> Response:
        """Check a job: `errors`, `warnings`, `effective`."""
        body = await json_body(request)
        found = await asyncio.to_thread(check, _payload(body), self._context.config)
        return JSONResponse(found.as_json())

    async def hear(self, request: Request) -> Response:
        """A span as WAV; its headers say at which gain."""
        body = await json_body(request)
        asked = await self._asked(body, span=True)
        start_s, seconds = _number(body, "at_s", 86_400.0), _number(body, "seconds", LONGEST_SPAN_S)
        hearing = self._context.hearing

        def make() -> tuple[RenderedSpan, bytes]:
            heard = hearing.hear(asked, start_s, seconds)
            return heard, wav_of(heard)

        heard, wav = await _in(hearing.spans, make)
        return Response(wav, media_type="audio/wav", headers={"X-Heard": json.dumps(_facts(heard))})

    async def lanes(self, request: Request) -> Response:
        """The plan as lanes over time."""
        asked = await self._asked(await json_body(request))
        hearing = self._context.hearing
        return JSONResponse(await _in(hearing.spans, partial(hearing.lanes, asked)))

    async def measure(self, request: Request) -> Response:
        """Measure the whole; the answer comes when that is done."""
        asked = await self._asked(await json_body(request))
        hearing = self._context.hearing
        return JSONResponse(_facts(await _in(hearing.wholes, partial(hearing.measure, asked))))

    async def upload(self, request: Request) -> Response:
        """Take a recording or music; the answer has the name by which a job names it."""
        folder = self._context.folder
        folder.check_room()
        received = await receive_file(request, folder.incoming())
        taken = await asyncio.to_thread(folder.take, received.path, received.digest, self._context.materials.ffmpeg)
        return JSONResponse({"name": taken.name, "seconds": round(taken.seconds, 3), "sounds": folder.sounds()})

    async def render(self, request: Request) -> Response:
        """Begin to make the whole track."""
        body = await json_body(request)
        job = await self._job(body)
        self._context.folder.check_room()
        return JSONResponse(self._context.renders.start(job, pay=body.get("pay") is True).as_json())

    async def cancel(self, request: Request) -> Response:
        """Stop making a track."""
        render = self._context.renders.find(request.path_params["id"])
        if render is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such render")
        render.stop.set()
        return JSONResponse(render.as_json())

    async def events(self, request: Request) -> Response:
        """How far a track is, whenever that changes (server-sent events), until it has ended."""
        render = self._context.renders.find(request.path_params["id"])
        if render is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such render")

        async def told() -> AsyncIterator[str]:
            last = ""
            while True:
                has_ended = render.state in ENDED
                now = json.dumps(render.as_json())
                if now != last:
                    yield f"data: {now}\n\n"
                    last = now
                if has_ended:
                    return
                await asyncio.sleep(_LOOK_S)

        return StreamingResponse(told(), media_type="text/event-stream")

    async def file(self, request: Request) -> Response:
        """A file that was made, whole or in ranges."""
        found = self._context.renders.file(request.path_params["id"])
        if found is None or not found.path.is_file():
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
        as_download = not found.shown or "download" in request.query_params
        return FileResponse(
            found.path,
            media_type=found.content_type,
            filename=found.path.name,
            content_disposition_type="attachment" if as_download else "inline",
        )

    async def _job(self, body: dict[str, Any]) -> RenderJob:
        found = await asyncio.to_thread(check, _payload(body), self._context.config)
        if found.job is None:
            raise _InvalidJobError(found.as_json())
        return found.job

    async def _asked(self, body: dict[str, Any], *, span: bool = False) -> Asked:
        deck = body.get("deck")
        if not isinstance(deck, str) or not 0 < len(deck) <= _LONGEST_DECK:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "deck: a short text is needed")
        number, version = int(_number(body, "number", 2.0**53)), int(_number(body, "version", 2.0**53))
        asked = Asked(deck, number, version, await self._job(body), pay=body.get("pay") is True)
        self._context.hearing.note(asked, span=span)
        return asked


class _InvalidJobError(HTTPException):
    """A job that is not taken; `detail` is a text by its type, so what is wrong has a field of its own."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, "the job has mistakes")
        self.found = found


async def _in(pool: Any, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(pool, work)


def _facts(heard: RenderedSpan) -> dict[str, Any]:
    return {
        "start_s": heard.start / heard.sample_rate,
        "track_s": heard.track_frames / heard.sample_rate,
        "master_gain_db": heard.master_gain_db,
        "estimated": heard.estimated,
        "lufs": round(heard.lufs, 2) if heard.lufs == heard.lufs else None,
        "notes": list(heard.notes),
    }


def _payload(body: dict[str, Any]) -> dict[str, Any]:
    job = body.get("job")
    if not isinstance(job, dict):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "job: an object is needed")
    return job


def _number(body: dict[str, Any], name: str, most: float) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name}: a number from 0 to {most:g} is needed")
    return value


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    found = error.found if isinstance(error, _InvalidJobError) else {}
    return JSONResponse({"error": error.detail, **found}, error.status_code)


async def _worker_error(request: Request, error: Exception) -> Response:
    """What a person can put right is 422, words that must be paid for 409, all else 503."""
    del request
    assert isinstance(error, WorkerError)  # noqa: S101 - registered for it
    told: dict[str, Any] = {
        "error": masked(error.message),
        "code": error.code,
        "lines": [masked(line) for line in error.lines],
    }
    if isinstance(error, UnpaidSpeechError):
        return JSONResponse({**told, "characters": error.characters, "cents": error.cents}, HTTPStatus.CONFLICT)
    is_theirs = error.kind in (Kind.PERMANENT, Kind.CONFIGURATION)
    return JSONResponse(told, HTTPStatus.UNPROCESSABLE_ENTITY if is_theirs else HTTPStatus.SERVICE_UNAVAILABLE)


async def _overtaken(request: Request, error: Exception) -> Response:
    del request, error
    return JSONResponse({"error": "overtaken by a later request", "code": "studio.overtaken"}, HTTPStatus.GONE)


async def _bug(request: Request, error: Exception) -> Response:
    """Tell the log where a bug is, without any value, and the page nothing of it."""
    del request
    logger.bind(event="studio.bug").error("studio: a bug, {} {}", type(error).__name__, where(error))
    return JSONResponse({"error": "a bug of this program; its log says where"}, HTTPStatus.INTERNAL_SERVER_ERROR)
