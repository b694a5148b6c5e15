"""OpenAI's and ElevenLabs' speech services, as far as the worker meets them: real HTTP, their own error bodies."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import soundfile

RATE = 24_000


@dataclass(frozen=True)
class Answer:
    """What the next request gets instead of speech.

    Attributes
    ----------
    status : int
        200: speech, spoilt as `kind` says.
    kind : str
        ``stall`` after the first bytes, ``truncate`` (the connection closes early), ``empty``, ``silence``, ``text``
        (a page that calls itself audio), ``slow`` (a little late), or ``speech``.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "speech"


@dataclass
class Service:
    """A running stand-in; what is in `answers` comes first, then it speaks."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)


def spoken(text: str, format_: str) -> bytes:
    """A second or so of buzz for a text; the same for the same text."""
    seconds = 0.4 + len(text) / 40
    n = np.arange(round(seconds * RATE))
    sound = 0.2 * np.sin(2 * np.pi * (120 + len(text) % 50) * n / RATE) * (np.sin(2 * np.pi * 3 * n / RATE) > -0.5)
    if format_.startswith("pcm"):
        return (sound * 32767).astype("<i2").tobytes()
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="FLAC" if format_ == "flac" else "MP3")
    return file.getvalue()


@contextmanager
def speech_service() -> Iterator[Service]:
    """Serve on a free port of this machine."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path, _, query = self.path.partition("?")
            parameters = dict(pair.split("=", 1) for pair in query.split("&") if pair)
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.requests.append({"path": path, "body": body, "query": parameters, "headers": headers})
            answer = service.answers.pop(0) if service.answers else Answer()
            if answer.status != 200:
                data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self._send(answer.status, data, {"Content-Type": "application/json", **answer.headers})
                return
            text = body.get("input") or body["text"]
            format_ = body.get("response_format") or parameters["output_format"].split("_")[0]
            data = spoken(text, format_)
            match answer.kind:
                case "slow":
                    time.sleep(0.3)
                case "empty":
                    data = b""
                case "text":
                    data = b"<html>busy</html>" * 50
                case "silence":
                    file = io.BytesIO()
                    soundfile.write(file, np.zeros(RATE), RATE, format="FLAC")
                    data = file.getvalue()
            headers = {"Content-Type": "audio/flac", "request-id": f"request-{len(service.requests)}"}
            if answer.kind in ("stall", "truncate"):
                self._send(200, data[:200], {**headers, "Content-Length": str(len(data))})
                self.wfile.flush()
                if answer.kind == "stall":
                    time.sleep(4.0)
                self.close_connection = True
                return
            self._send(200, data, headers)

        def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
