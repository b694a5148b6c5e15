"""OpenAI's and ElevenLabs' speech services, as far as the worker meets them: real HTTP, their own error bodies.

Each knows its own models and voices, their limits and settings, and refuses all others as the real one does; both speak
as fast as they are asked to.
"""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import soundfile
from standins.http_server import JSON, answer, serve

RATE = 24_000
SOUND_RATE = 44_100  # of what a test gives to be heard
_STALL_S = 60.0  # longer than any client waits that is to give up
_TYPES = {"flac": "audio/flac", "mp3": "audio/mpeg", "pcm": "audio/pcm"}
CHARACTERS_A_SECOND = 15
SENTENCE_SILENCE_S = 0.25
END_SILENCE_S = 0.01  # no service ends in the middle of a sound
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

OPENAI_LIMITS = {
    **dict.fromkeys(("tts-1", "tts-1-1106", "tts-1-hd", "tts-1-hd-1106"), 4096),
    **dict.fromkeys(("gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"), 4096),
}
SHUTDOWN = {"shutdown_date": "2027-01-06"}
OPENAI_OTHER_MODELS = (
    *("gpt-4o", "gpt-4o-audio-preview", "gpt-realtime", "gpt-realtime-2.1-mini", "whisper-1"),
)  # served at other addresses
OPENAI_OWN_VOICE = "voice_68f1c0"  # one that an account has made
OPENAI_VOICES = [
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
]
ELEVENLABS_LIMITS = {
    "eleven_v4": 10_000,
    "eleven_v3": 5000,
    "eleven_v3_conversational": 5000,
    "eleven_multilingual_v2": 10_000,
    "eleven_turbo_v2_5": 40_000,
    "eleven_flash_v2_5": 40_000,
}
ELEVENLABS_VOICES = ("21m00Tcm4TlvDq8ikWAM", "EXAVITQu4vr4xnSDxMaL")
ELEVENLABS_PAID_VOICES = ("pMsXgVXv3BLzUgSXRplE",)  # of the library: not on a free plan
ELEVENLABS_SPEED = (0.7, 1.2)


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
    sound : array, optional
        What is heard in place of the text, at `SOUND_RATE`, mono or stereo.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "speech"
    before: Callable[[], None] | None = None
    sound: np.ndarray | None = None


TOO_MANY = Answer(429, {"detail": {"status": "too_many_concurrent_requests", "message": "Too many at once."}})


@dataclass
class Service:
    """A running stand-in; what is in `answers` comes first, then it speaks.

    Attributes
    ----------
    answers_for : dict
        The same for requests whose text holds a word.
    whole : Counter
        How often each text was spoken to its end: what is paid for.
    reads : callable, optional
        Gives the sound of a text at `SOUND_RATE`, mono; without it the service buzzes.
    takes_s : float
        How long each request takes.
    most_at_once : int or None
        How many requests the plan allows at the same time; more are refused with 429 `too_many_concurrent_requests`.
    at_once : int
        The most requests there were at the same time.
    refused_at_once : int
        How many were refused for that.
    """

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    answers_for: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    whole: Counter[str] = field(default_factory=Counter)
    reads: Callable[[str], np.ndarray] | None = None
    takes_s: float = 0.0
    most_at_once: int | None = None
    at_once: int = 0
    refused_at_once: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        if handler.command == "GET":
            return self._list(handler, path, headers)
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        parameters = dict(parse_qsl(urlsplit(handler.path).query))
        self.requests.append({"path": path, "body": body, "query": parameters, "headers": headers})
        text = body.get("input") or body["text"]
        format_, _, rate = (body.get("response_format") or parameters["output_format"]).partition("_")
        given = self.next_answer(text) if self.admits() else TOO_MANY
        if given.before is not None:
            given.before()
        if given.status == 200:
            given = (refused_by_openai if "input" in body else refused_by_elevenlabs)(path, body) or given
        if given.status == 200:
            return self._speak(handler, given, text, format_, spoken_speed(body), int(rate.partition("_")[0] or RATE))
        data = given.body if isinstance(given.body, bytes) else json.dumps(given.body).encode()
        return answer(handler, given.status, data, {**JSON, **given.headers})

    def _list(self, handler: BaseHTTPRequestHandler, path: str, headers: Mapping[str, str]) -> None:
        """The lists of models and voices, for the right key."""
        elevenlabs_key, openai_key = headers.get("xi-api-key"), headers.get("authorization", "").removeprefix("Bearer ")
        if "refused" in (elevenlabs_key or openai_key or "refused"):
            refused = no_elevenlabs_key() if elevenlabs_key else no_openai_key(openai_key)
            return answer(handler, refused.status, json.dumps(refused.body).encode(), JSON)
        if "restricted" in (elevenlabs_key or openai_key):
            refused = restricted_elevenlabs_key() if elevenlabs_key else restricted_openai_key()
            return answer(handler, refused.status, json.dumps(refused.body).encode(), JSON)
        found = listed(headers).get(path)
        return answer(handler, 404 if found is None else 200, json.dumps(found or {}).encode(), JSON)

    def _speak(
        self, handler: BaseHTTPRequestHandler, given: Answer, text: str, format_: str, speed: float, rate: int
    ) -> None:
        headers = {"Content-Type": _TYPES[format_], "request-id": f"request-{len(self.requests)}"}
        page = b"<html>busy</html>" * 50
        match given.kind:
            case "empty":
                return answer(handler, 200, b"", headers)
            case "text":
                return answer(handler, 200, page, headers)
            case "page":
                return answer(handler, 200, page, {**headers, "Content-Type": "text/html; charset=utf-8"})
            case "silence":
                return answer(handler, 200, encoded(np.zeros(rate), format_, rate), headers)
        sound = given.sound if given.sound is not None else self.reads and self.reads(text)
        data = spoken(text, format_, speed, rate) if sound is None else encoded(sound, format_, SOUND_RATE)
        match given.kind:
            case "cut":
                return answer(handler, 200, data[: len(data) // 2], headers)
            case "truncate":
                return answer(handler, 200, data, headers, only=200)
            case "stall":
                return answer(handler, 200, data, headers, only=200, then=lambda: self.ended.wait(_STALL_S))
            case "drip":
                return answer(handler, 200, data, headers, pause_s=0.1)
            case "slow":
                time.sleep(0.3)
        return answer(handler, 200, data, headers, then=lambda: self.whole.update([text]))

    def admits(self) -> bool:
        """Count a request while it takes its time, before it is answered; false for one too many."""
        with self._lock:
            self.at_once = max(self.at_once, self._now + 1)
            if self.most_at_once is not None and self._now >= self.most_at_once:
                self.refused_at_once += 1
                return False
            self._now += 1
        time.sleep(self.takes_s)
        with self._lock:
            self._now -= 1
        return True

    def next_answer(self, text: str) -> Answer:
        for word, answers in self.answers_for.items():
            if word in text and answers:
                return answers.pop(0)
        return self.answers.pop(0) if self.answers else Answer()


def seconds_of(text: str) -> float:
    """How long a text takes at speed 1."""
    sentences = _SENTENCE_END.split(text)
    return len(text) / CHARACTERS_A_SECOND + SENTENCE_SILENCE_S * (len(sentences) - 1)


def spoken(text: str, format_: str, speed: float = 1.0, rate: int = RATE) -> bytes:
    """Buzz in syllables for each sentence of a text, silence between them; the same for the same text and speed."""
    stretches = []
    for sentence in _SENTENCE_END.split(text):
        t = np.arange(round(len(sentence) / CHARACTERS_A_SECOND / speed * rate)) / rate
        buzz = np.sin(2 * np.pi * (120 + len(text) % 20) * t) * np.sin(2 * np.pi * 3 * speed * t) ** 2
        stretches += [0.2 * buzz, np.zeros(round(SENTENCE_SILENCE_S / speed * rate))]
    sound = np.concatenate(stretches[:-1])
    sound[len(sound) - round(END_SILENCE_S * rate) :] = 0.0
    return encoded(sound, format_, rate)


def openai_refusal(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Answer:
    """OpenAI's form of a refusal."""
    return Answer(
        status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    )


def elevenlabs_refusal(status: int, name: str, message: str) -> Answer:
    """ElevenLabs' form of a refusal."""
    return Answer(status, {"detail": {"status": name, "message": message}})


def no_openai_key(key: str) -> Answer:
    """OpenAI's answer to a key that it does not know."""
    shown = f"{key[:8]}{'*' * 8}{key[-4:]}"
    message = f"Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com/account/api-keys."
    return openai_refusal(401, message, code="invalid_api_key")


def restricted_openai_key() -> Answer:
    """OpenAI's answer to a key that may speak, but not list."""
    message = "You have insufficient permissions for this operation. Missing scopes: api.model.read."
    return openai_refusal(403, message)


def no_elevenlabs_key() -> Answer:
    """ElevenLabs' answer to a key that it does not know."""
    return elevenlabs_refusal(401, "invalid_api_key", "Invalid API key")


def restricted_elevenlabs_key() -> Answer:
    """ElevenLabs' answer to a key that may speak, but not list."""
    message = "The API key you used is missing the permission models_read to execute this operation."
    return elevenlabs_refusal(401, "missing_permissions", message)


def refused_by_openai(path: str, body: Mapping[str, Any]) -> Answer | None:
    """What OpenAI answers to a request it does not take."""
    model, voice, text, speed = body["model"], body["voice"], body["input"], body.get("speed", 1.0)
    if path != "/v1/audio/speech" or model in OPENAI_OTHER_MODELS:
        return openai_refusal(404, f"Invalid URL (POST {path})")
    if model not in OPENAI_LIMITS:
        message = f"The model `{model}` does not exist or you do not have access to it."
        return openai_refusal(404, message, code="model_not_found")
    if isinstance(voice, str) and voice not in (*OPENAI_VOICES, OPENAI_OWN_VOICE):
        known = ", ".join(f"'{name}'" for name in OPENAI_VOICES)
        message = f"Invalid value: '{voice}'. Supported values are: {known}."
        return openai_refusal(400, message, param="voice", code="invalid_value")
    if len(text) > OPENAI_LIMITS[model]:
        message = (
            f"Invalid 'input': string too long. Expected a string with maximum length {OPENAI_LIMITS[model]}, "
            f"but got a string with length {len(text)} instead."
        )
        return openai_refusal(400, message, param="input", code="string_above_max_length")
    if not 0.25 <= speed <= 4:
        message = f"Invalid 'speed': decimal outside 0.25 to 4.0: {speed}."
        return openai_refusal(400, message, param="speed", code="decimal_out_of_range")
    if "instructions" in body and model.startswith("tts-1"):
        return openai_refusal(400, "'instructions' is not supported by this model.", param="instructions")
    if body["response_format"] not in ("mp3", "opus", "aac", "flac", "wav", "pcm"):
        message = f"Invalid value: '{body['response_format']}'."
        return openai_refusal(400, message, param="response_format", code="invalid_value")
    return None


def refused_by_elevenlabs(path: str, body: Mapping[str, Any]) -> Answer | None:
    """What ElevenLabs answers to a request it does not take."""
    voice, model, settings = path.rpartition("/")[2], body["model_id"], body.get("voice_settings") or {}
    if voice in ELEVENLABS_PAID_VOICES:
        message = "Free users cannot use library voices via the API. Please upgrade your subscription."
        return elevenlabs_refusal(402, "paid_plan_required", message)
    if voice not in ELEVENLABS_VOICES:
        return elevenlabs_refusal(404, "voice_not_found", f"A voice with the voice_id {voice} was not found.")
    if model not in ELEVENLABS_LIMITS:
        return elevenlabs_refusal(400, "model_not_found", f"A model with model ID {model} does not exist.")
    if len(body["text"]) > ELEVENLABS_LIMITS[model]:
        message = f"The text has {len(body['text'])} characters, more than the {ELEVENLABS_LIMITS[model]} of the model."
        return elevenlabs_refusal(400, "max_character_limit_exceeded", message)
    speed = settings.get("speed") or 1.0
    if not ELEVENLABS_SPEED[0] <= speed <= ELEVENLABS_SPEED[1]:
        message = (
            "Invalid setting for speed received, expected to be greater or equal to 0.7 and less or equal to 1.2, "
            f"received {speed}"
        )
        return elevenlabs_refusal(400, "invalid_voice_settings", message)
    if model.startswith("eleven_v3"):
        if {"previous_text", "next_text", "previous_request_ids"} & body.keys():
            message = f"Providing previous_text or next_text is not yet supported with the '{model}' model."
            return elevenlabs_refusal(400, "unsupported_model", message)
        if settings.get("stability") not in (None, 0, 0.5, 1):
            message = "Invalid TTD stability value. Must be one of: [0.0, 0.5, 1.0]"
            return elevenlabs_refusal(400, "invalid_ttd_stability", message)
    return None


def spoken_speed(body: Mapping[str, Any]) -> float:
    """How fast a request is spoken; OpenAI's `gpt-` models take `speed` and speak at their own pace."""
    if "input" not in body:
        return float((body.get("voice_settings") or {}).get("speed") or 1.0)
    return 1.0 if body["model"].startswith("gpt-") else float(body.get("speed", 1.0))


def encoded(sound: np.ndarray, format_: str, rate: int = RATE) -> bytes:
    if format_.startswith("pcm"):
        return (sound * 32767).astype("<i2").tobytes()
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format="FLAC" if format_ == "flac" else "MP3")
    return file.getvalue()


def listed(headers: Mapping[str, str]) -> dict[str, Any]:
    """The lists of models and voices of the service that a request's key is for, by path."""
    if "xi-api-key" in headers:
        return {
            "/v1/models": [
                *({"model_id": name, "can_do_text_to_speech": True} for name in ELEVENLABS_LIMITS),
                {"model_id": "scribe_v2", "can_do_text_to_speech": False},
            ],
            "/v1/voices": {"voices": [{"voice_id": name, "name": name} for name in ELEVENLABS_VOICES]},
        }
    models = [
        *({"id": name, "object": "model", **SHUTDOWN} for name in OPENAI_LIMITS),
        *({"id": name, "object": "model"} for name in OPENAI_OTHER_MODELS),
    ]
    return {"/v1/models": {"object": "list", "data": models}}


@contextmanager
def speech_service() -> Iterator[Service]:
    """Serve on a free port of this machine."""
    service = Service()
    with serve({"": service}) as url:
        service.url = url
        try:
            yield service
        finally:
            service.ended.set()
