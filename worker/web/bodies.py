"""What a browser sends, bounded: JSON documents in memory, recordings on disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from worker.untrusted_json import read_json

JSON_BYTES: Final = 2 << 20
UPLOAD_BYTES: Final = 200 << 20
_JSON_S = 30.0
_UPLOAD_S = 600.0


@dataclass(frozen=True)
class Received:
    """A file as it came: `digest` is the SHA-256 of its content."""

    path: Path
    digest: str
    size_bytes: int


async def json_body(request: Request) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    HTTPException
        If it is something else, too large, or comes too slowly.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is needed")
    _check_length(request, JSON_BYTES)
    body = bytearray()
    async with _in_time(_JSON_S):
        async for part in request.stream():
            body += part
            if len(body) > JSON_BYTES:
                raise _too_large(JSON_BYTES)
    document = read_json(bytes(body))
    if not isinstance(document, dict):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "a JSON object is needed")
    return document


async def receive_file(request: Request, into: Path, *, most_bytes: int = UPLOAD_BYTES) -> Received:
    """Write a body to a new file, part by part; nothing is left of one that is refused or does not come whole.

    Raises
    ------
    HTTPException
        If it is too large, empty, or comes too slowly.
    ClientDisconnect
        If the browser went away.
    """
    _check_length(request, most_bytes)
    digest, size = hashlib.sha256(), 0
    try:
        with os.fdopen(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            async with _in_time(_UPLOAD_S):
                async for part in request.stream():
                    size += len(part)
                    if size > most_bytes:
                        raise _too_large(most_bytes)
                    digest.update(part)
                    await asyncio.to_thread(file.write, part)
        if not size:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "the file is empty")
    except (HTTPException, ClientDisconnect, OSError, asyncio.CancelledError):
        into.unlink(missing_ok=True)
        raise
    return Received(into, digest.hexdigest(), size)


def _check_length(request: Request, most_bytes: int) -> None:
    """Refuse what says of itself that it is too large, before any of it is read."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most_bytes:
        raise _too_large(most_bytes)


def _too_large(most_bytes: int) -> HTTPException:
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"allowed are at most {most_bytes >> 20} MB")


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, with the answer for a client that is too slow."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "it came too slowly") from None
