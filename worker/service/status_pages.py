"""The worker's own pages: health, readiness, metrics, a request to poll, and a status page.

Without the token they say `ok` or `not ok` and a code: a message may name a customer's object or repeat a key. With it
they give the facts. Metrics need no token: they are numbers, and names of causes.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from worker.service.http_server import NOT_KEPT, as_json
from worker.service.state import Report

_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Answers:
    """Where the answers come from: `metrics` gives Prometheus' text format, `process` has the worker poll, at once."""

    health: Callable[[], Report]
    ready: Callable[[], Report]
    metrics: Callable[[], bytes]
    process: Callable[[], None]


def status_routes(answers: Answers, *, with_process: bool) -> list[Route]:
    """The pages as routes; without a token there is no POST /process."""

    async def health(request: Request) -> Response:
        return _facts(request, answers.health())

    async def ready(request: Request) -> Response:
        return _facts(request, answers.ready())

    async def metrics(request: Request) -> Response:
        del request
        return Response(answers.metrics(), headers={**NOT_KEPT, "Content-Type": _METRICS})

    async def status_page(request: Request) -> Response:
        return HTMLResponse(_page(answers.health(), with_facts=request.state.authorised), headers=NOT_KEPT)

    async def process(request: Request) -> Response:
        if not request.state.authorised:
            raise HTTPException(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
        answers.process()
        return as_json({"accepted": True}, HTTPStatus.ACCEPTED)

    pages = [
        Route("/", status_page),
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
    ]
    return [*pages, Route("/process", process, methods=["POST"])] if with_process else pages


def _facts(request: Request, report: Report) -> Response:
    content = report.facts if request.state.authorised else _without_token(report)
    return as_json(content, HTTPStatus.OK if report.code is None else HTTPStatus.SERVICE_UNAVAILABLE)


def _without_token(report: Report) -> dict[str, str]:
    return {"status": "ok"} if report.code is None else {"status": "not ok", "code": report.code}


def _page(report: Report, *, with_facts: bool) -> bytes:
    facts = report.facts if with_facts else _without_token(report)
    rows = "".join(
        f"<tr><th>{html.escape(str(name).replace('_', ' '))}</th><td>{_cell(value)}</td></tr>"
        for name, value in facts.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=10>"
        "<meta name=viewport content='width=device-width'><title>mindscript-audio-worker</title>"
        "<style>body{font:15px/1.5 system-ui;margin:3rem auto;max-width:46rem;padding:0 1rem}"
        "th{text-align:left;padding-right:2rem;vertical-align:top;font-weight:500}</style>"
        f"<h1>{'Alive' if report.code is None else 'Not well'}</h1><table>{rows}</table></html>"
    ).encode()


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "<br>".join(map(_cell, value)) or "none"
    if isinstance(value, dict):
        value = ", ".join(f"{name} {item}" for name, item in value.items())
    return html.escape("none" if value in (None, "") else str(value))
