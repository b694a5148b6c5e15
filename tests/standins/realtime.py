"""OpenAI's Realtime API, as far as the worker meets it: a real WebSocket, the API's own events and error bodies.

It knows its own models, voices, speeds and formats, and refuses all others as the real one does; it reads what it is
asked to read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standins.speech import RATE, seconds_of, spoken
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

MODELS = ("gpt-realtime", "gpt-realtime-2.1", "gpt-realtime-2.1-mini")
VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
SPEEDS = (0.25, 1.5)
KEY = "sk-test"
CHUNK_BYTES = 4800
TOKENS_A_SECOND, MOST_TOKENS = 20, 4096  # of one response


@dataclass(frozen=True)
class Turn:
    """What the next response is instead of a faithful reading.

    Attributes
    ----------
    says : str
        What is read in place of the text, with ``{}`` for the text.
    kind : str
        ``speech``; ``failed`` with `error`; ``content_filter`` or ``max_output_tokens`` (incomplete); ``cancelled``;
        ``error`` (an error event with `error`); ``close`` (with `code` and `reason`, after half the sound); ``stall``
        (nothing more after half the sound); ``drip`` (a little now and then, for ever); ``silent`` (no sound at all);
        ``damaged`` (sound that is no base64); ``beta`` (the names that events had before September 2025).
    error : dict
        As the API writes it.
    code, reason
        Of a close.
    reset_s : float
        Until when the rate limit is used up; 0 where it is not.
    """

    says: str = "{}"
    kind: str = "speech"
    error: dict[str, Any] = field(default_factory=dict)
    code: int = 1011
    reason: str = ""
    reset_s: float = 0.0


@dataclass(frozen=True)
class Handshake:
    """What the next connection gets instead of a session: an HTTP status, or an error event and a close."""

    status: int = 101
    body: Any = None
    error: dict[str, Any] = field(default_factory=dict)
    code: int = 1000
    reason: str = ""


@dataclass
class RealtimeService:
    """A running stand-in; what is in `handshakes` and `turns` comes first.

    Attributes
    ----------
    url : str
        Its base URL, as ``OPENAI_BASE_URL`` has it.
    connections : list
        Model, headers and session of each.
    requests : list
        Each `response.create`.
    whole : Counter
        How often each text was read to its end: what is paid for.
    """

    url: str = ""
    handshakes: list[Handshake] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    connections: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    whole: Counter[str] = field(default_factory=Counter)


def api_error(kind: str, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    """An error as the API writes it."""
    return {"type": kind, "code": code, "message": message, "param": param, "event_id": None}


NO_KEY = api_error("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-***.")
NO_CREDIT = api_error("insufficient_quota", "credit_balance_exhausted", "You have no credits remaining.")
EXPIRED = api_error("invalid_request_error", "session_expired", "Your session hit the maximum duration of 60 minutes.")


def refused_session(session: dict[str, Any]) -> dict[str, Any] | None:
    """What the API says of a session that it does not take."""
    output = session.get("audio", {}).get("output", {})
    voice, speed = output.get("voice", VOICES[0]), output.get("speed", 1.0)
    if session.get("type") != "realtime":
        message = "Missing required parameter: 'session.type'."
        return api_error("invalid_request_error", "missing_required_parameter", message, "session.type")
    if isinstance(voice, str) and voice not in VOICES:
        known = ", ".join(f"'{name}'" for name in VOICES)
        message = f"Invalid value: '{voice}'. Supported values are: {known}."
        return api_error("invalid_request_error", "invalid_value", message, "session.audio.output.voice")
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        message = f"Invalid 'session.audio.output.speed': decimal outside 0.25 to 1.5: {speed}."
        return api_error("invalid_request_error", "decimal_out_of_range", message, "session.audio.output.speed")
    if output.get("format") != {"type": "audio/pcm", "rate": RATE}:
        message = "Invalid value for 'session.audio.output.format'."
        return api_error("invalid_request_error", "invalid_value", message, "session.audio.output.format")
    if unknown := session.keys() - {"type", "model", "output_modalities", "instructions", "audio"}:
        param = f"session.{min(unknown)}"
        return api_error("invalid_request_error", "unknown_parameter", f"Unknown parameter: '{param}'.", param)
    return None


@contextmanager
def realtime_service() -> Iterator[RealtimeService]:
    """Serve on a free port of this machine."""
    service = RealtimeService()
    ended = threading.Event()

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        place, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query)
        connection.handshake_answer = service.handshakes.pop(0) if service.handshakes else Handshake()  # type: ignore[attr-defined]
        connection.model = query.get("model", [""])[0]  # type: ignore[attr-defined]
        answer: Handshake = connection.handshake_answer  # type: ignore[attr-defined]
        if place != "/v1/realtime":
            answer = Handshake(404, {"error": {"message": f"Invalid URL (GET {place})", "code": None}})
        if answer.status == 101:
            return None
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
        return Response(answer.status, HTTPStatus(answer.status).phrase, headers, body)

    def talk(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            _Talk(service, connection, ended).run()

    server = serve(talk, "127.0.0.1", 0, process_request=admit)
    service.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        ended.set()
        server.shutdown()
        thread.join(5)


class _Talk:
    """One connection."""

    def __init__(self, service: RealtimeService, connection: ServerConnection, ended: threading.Event) -> None:
        self._service, self._connection, self._ended = service, connection, ended
        self._session: dict[str, Any] = {}
        self._count = 0

    def run(self) -> None:
        """Answer events until the client goes."""
        answer: Handshake = self._connection.handshake_answer  # type: ignore[attr-defined]
        model: str = self._connection.model  # type: ignore[attr-defined]
        request = self._connection.request
        assert request is not None
        kept = {"model": model, "headers": {name.lower(): value for name, value in request.headers.raw_items()}}
        self._service.connections.append(kept)
        if answer.error or answer.reason:
            self._end(answer.error, answer.code, answer.reason)
            return
        if kept["headers"].get("authorization") != f"Bearer {KEY}":
            self._end(NO_KEY, 3000, "invalid_request_error.invalid_api_key")
            return
        if model not in MODELS:
            message = f"The model `{model}` does not exist or you do not have access to it."
            error = api_error("invalid_request_error", "model_not_found", message)
            self._end(error, 4004, "invalid_request_error.model_not_found")
            return
        self._send("session.created", session={"type": "realtime", "model": model})
        for message in self._connection:
            event = json.loads(message)
            if event["type"] == "session.update":
                if error := refused_session(event["session"]):
                    self._send("error", error=error)
                    continue
                self._session = kept["session"] = event["session"]
                self._send("session.updated", session=self._session)
            elif event["type"] == "response.create":
                self._respond(event["response"])

    def _respond(self, response: dict[str, Any]) -> None:
        self._service.requests.append(response)
        text = response["input"][0]["content"][0]["text"]
        turn = self._service.turns.pop(0) if self._service.turns else Turn()
        if turn.kind == "error":
            self._send("error", error=turn.error)
            return
        if seconds_of(text) / self._session["audio"]["output"]["speed"] * TOKENS_A_SECOND > MOST_TOKENS:
            turn = replace(turn, kind="max_output_tokens")
        limit = {
            "name": "tokens",
            "limit": 40_000,
            "remaining": 0 if turn.reset_s else 9000,
            "reset_seconds": turn.reset_s,
        }
        self._send("rate_limits.updated", rate_limits=[limit])
        self._send("response.created", response={"status": "in_progress"})
        said = turn.says.replace("{}", text)
        speed = self._session["audio"]["output"]["speed"]
        sound = spoken(said, "pcm", speed) if said else b""
        if turn.kind in ("failed", "cancelled", "silent"):
            sound = b""
        name = "audio" if turn.kind == "beta" else "output_audio"
        half = turn.kind in ("close", "stall", "drip", "content_filter", "max_output_tokens")
        for at in range(0, len(sound) // 2 if half else len(sound), CHUNK_BYTES):
            delta = base64.b64encode(sound[at : at + CHUNK_BYTES]).decode()
            self._send(f"response.{name}.delta", delta="?" if turn.kind == "damaged" else delta, **_PLACE)
        if turn.kind == "close":
            self._connection.close(turn.code, turn.reason)
            return
        if turn.kind == "stall":
            self._ended.wait(60.0)
            return
        while turn.kind == "drip" and not self._ended.wait(0.1):
            self._send(f"response.{name}.delta", delta="AAA=", **_PLACE)
        self._send(f"response.{name}_transcript.done", transcript=said, **_PLACE)
        status, details = "completed", None
        if turn.kind == "failed":
            status, details = "failed", {"type": "failed", "error": turn.error}
        elif turn.kind in ("content_filter", "max_output_tokens"):
            status, details = "incomplete", {"type": "incomplete", "reason": turn.kind}
        elif turn.kind == "cancelled":
            status, details = "cancelled", {"type": "cancelled", "reason": "client_cancelled"}
        elif turn.kind not in ("silent", "damaged"):
            self._service.whole[text] += 1
        usage = {"total_tokens": 100, "input_tokens": 60, "output_tokens": 40}
        self._send("response.done", response={"status": status, "status_details": details, "usage": usage})

    def _send(self, kind: str, **content: Any) -> None:
        self._count += 1
        self._connection.send(json.dumps({"type": kind, "event_id": f"event_{self._count}", **content}))

    def _end(self, error: dict[str, Any], code: int, reason: str) -> None:
        if error:
            self._send("error", error=error)
        self._connection.close(code, reason)


_PLACE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
