"""OpenAI's and ElevenLabs' speech services, as far as the worker meets them: real HTTP, their own error bodies."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import soundfile

RATE = 24_000
_TYPES = {"flac": "audio/flac", "mp3": "audio/mpeg", "pcm": "audio/pcm"}


@dataclass(frozen=True)
class Answer:
    """What the next request gets instead of speech.

    Attributes
    ----------
    status : int
        200: speech, spoilt as `kind` says.
    kind : str
        ``stall`` after the first bytes, ``drip`` (a little now and then, for ever), ``truncate`` (the connection
        closes early), ``cut`` (half a file, as if that were all), ``empty``, ``silence``, ``text`` (a page that calls
        itself audio), ``page`` (one that does not), ``slow`` (a little late), or ``speech``.
    before : callable, optional
        Called first.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "speech"
    before: Callable[[], None] | None = None


@dataclass
class Service:
    """A running stand-in; what is in `answers` comes first, then it speaks.

    Attributes
    ----------
    answers_for : dict
        The same for requests whose text holds a word.
    whole : Counter
        How often each text was spoken to its end: what is paid for.
    """

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    answers_for: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    whole: Counter[str] = field(default_factory=Counter)

    def next_answer(self, text: str) -> Answer:
        for word, answers in self.answers_for.items():
            if word in text and answers:
                return answers.pop(0)
        return self.answers.pop(0) if self.answers else Answer()


def spoken(text: str, format_: str) -> bytes:
    """A second or so of buzz for a text; the same for the same text."""
    seconds = 0.4 + len(text) / 40
    n = np.arange(round(seconds * RATE))
    sound = 0.2 * np.sin(2 * np.pi * (120 + len(text) % 50) * n / RATE) * (np.sin(2 * np.pi * 3 * n / RATE) > -0.5)
    return encoded(sound, format_)


def encoded(sound: np.ndarray, format_: str) -> bytes:
    if format_.startswith("pcm"):
        return (sound * 32767).astype("<i2").tobytes()
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="FLAC" if format_ == "flac" else "MP3")
    return file.getvalue()


@contextmanager
def speech_service() -> Iterator[Service]:
    """Serve on a free port of this machine."""
    service = Service()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path, _, query = self.path.partition("?")
            parameters = dict(pair.split("=", 1) for pair in query.split("&") if pair)
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.requests.append({"path": path, "body": body, "query": parameters, "headers": headers})
            text = body.get("input") or body["text"]
            format_ = body.get("response_format") or parameters["output_format"].split("_")[0]
            answer = service.next_answer(text)
            if answer.before is not None:
                answer.before()
            with contextlib.suppress(OSError):  # the client may have had enough
                if answer.status == 200:
                    self._speak(answer, text, format_)
                else:
                    data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                    self._send(answer.status, data, {"Content-Type": "application/json", **answer.headers})

        def _speak(self, answer: Answer, text: str, format_: str) -> None:
            headers = {"Content-Type": _TYPES[format_], "request-id": f"request-{len(service.requests)}"}
            page = b"<html>busy</html>" * 50
            match answer.kind:
                case "empty":
                    self._send(200, b"", headers)
                case "text":
                    self._send(200, page, headers)
                case "page":
                    self._send(200, page, {**headers, "Content-Type": "text/html; charset=utf-8"})
                case "silence":
                    self._send(200, encoded(np.zeros(RATE), format_), headers)
                case "cut":
                    data = spoken(text, format_)
                    self._send(200, data[: len(data) // 2], headers)
                case "stall" | "drip" | "truncate":
                    data = spoken(text, format_)
                    self._send(200, data[:200], {**headers, "Content-Length": str(len(data))})
                    self.wfile.flush()
                    for at in range(200, len(data)) if answer.kind == "drip" else ():
                        if ended.wait(0.1):
                            break
                        self.wfile.write(data[at : at + 1])
                    if answer.kind == "stall":
                        ended.wait(8.0)
                    self.close_connection = True
                case _:
                    if answer.kind == "slow":
                        time.sleep(0.3)
                    self._send(200, spoken(text, format_), headers)
                    service.whole[text] += 1

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
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
