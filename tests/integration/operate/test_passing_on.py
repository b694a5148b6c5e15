"""Requests that are passed on: what becomes of one whose server says nothing, or ends in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from worker.operate.passing_on import NoAnswerError, connect, pass_on

Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def passed_on(address: Path, served: Served, **limits: Any) -> list[dict[str, Any]]:
    """Ask a server for something; what the client is sent."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if "asked" in limits:
            await asyncio.Future()
        limits["asked"] = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"method": "GET", "query_string": b"", "headers": []}
    server = await asyncio.start_unix_server(served, str(address))
    async with server:
        within = limits.get("begins_within_s", 60.0)
        to = await connect(str(address))
        await pass_on(scope, receive, send, to=to, path="/x", is_allowed=lambda: True, begins_within_s=within)
    return sent


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with pytest.raises(NoAnswerError):
        asyncio.run(passed_on(tmp_path / "s", silent, begins_within_s=0.05))


def test_a_server_that_ends_before_its_answer_has_given_none(tmp_path: Path) -> None:
    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    with pytest.raises(NoAnswerError):
        asyncio.run(passed_on(tmp_path / "s", ends))


def test_an_answer_that_breaks_off_is_not_made_whole(tmp_path: Path) -> None:
    async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nSet-Cookie: a=b\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    begun, *parts = asyncio.run(passed_on(tmp_path / "s", breaks_off))
    assert (begun["status"], begun["headers"]) == (200, [(b"content-length", b"100")])
    assert [(part["body"], part["more_body"]) for part in parts] == [(b"half", True)]


def test_where_nobody_listens_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError):
        asyncio.run(connect(str(tmp_path / "nothing")))
