"""A speech service at another `OPENAI_BASE_URL`: `POST /audio/speech` with models, voices and formats of its own.

It refuses what it does not know as such servers do, in FastAPI's words and not in OpenAI's.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile
from standins.http_server import Request, Response, as_json, serve
from standins.speech import RATE, spoken

_KNOWN_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
_TYPES = {"flac": "audio/flac", "mp3": "audio/mpeg", "pcm": "audio/pcm", "wav": "audio/wav", "ogg": "audio/ogg"}


@dataclass
class Compatible:
    """A running stand-in.

    Attributes
    ----------
    models, voices, formats : tuple of str
        What it knows.
    most_characters : int
        Of one request.
    gives : str or None
        The format that it sends, whatever was asked for.
    requests : list of dict
        The body of each.
    """

    url: str = ""
    models: tuple[str, ...] = ("kokoro",)
    voices: tuple[str, ...] = ("af_heart", "bf_emma", "am_adam")
    formats: tuple[str, ...] = _KNOWN_FORMATS
    most_characters: int = 100_000
    gives: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        body = json.loads(request.body)
        self.requests.append(body)
        if refusal := refused(self, request.path, body):
            return as_json(*refusal)
        asked = body.get("response_format", "mp3")
        sound = sound_of(body["input"], self.gives or asked, body.get("speed", 1.0))
        return Response(200, sound, {"Content-Type": _TYPES[asked]})


def sound_of(text: str, format_: str, speed: float = 1.0) -> bytes:
    """Speech in a format; WAV as a server streams it, with a length that it did not know."""
    samples = spoken(text, "pcm", speed)
    if format_ == "pcm":
        return samples
    file = io.BytesIO()
    kinds = {"flac": "FLAC", "mp3": "MP3", "wav": "WAV", "ogg": "OGG"}
    soundfile.write(file, np.frombuffer(samples, "<i2"), RATE, format=kinds[format_])
    data = file.getvalue()
    if format_ == "wav":
        at = data.index(b"data") + 4
        data = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    return data


def refused(service: Compatible, path: str, body: Mapping[str, Any]) -> tuple[int, Any] | None:
    """What such a server answers to a request that it does not take."""

    def invalid(kind: str, message: str) -> tuple[int, Any]:
        return 400, {"detail": {"error": kind, "message": message, "type": "invalid_request_error"}}

    if path != "/v1/audio/speech":
        return 404, {"detail": "Not Found"}
    if body.get("response_format", "mp3") not in service.formats:
        known = ", ".join(f"'{name}'" for name in service.formats)
        fault = {"type": "literal_error", "loc": ["body", "response_format"], "msg": f"Input should be {known}"}
        return 422, {"detail": [{**fault, "input": body["response_format"]}]}
    if body["model"] not in service.models:
        return invalid("invalid_model", f"Unsupported model: {body['model']}")
    if body["voice"] not in service.voices:
        known = ", ".join(service.voices)
        return invalid("validation_error", f"Voice '{body['voice']}' not found. Available voices: {known}")
    if len(body["input"]) > service.most_characters:
        fault = {"type": "string_too_long", "loc": ["body", "input"]}
        return 422, {"detail": [{**fault, "msg": f"String should have at most {service.most_characters} characters"}]}
    return None


@contextmanager
def compatible_service(**knows: Any) -> Iterator[Compatible]:
    """Serve on a free port of this machine."""
    service = Compatible(**knows)
    with serve({"": service}) as url:
        service.url = f"{url}/v1"
        yield service
