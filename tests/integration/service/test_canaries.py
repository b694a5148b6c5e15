"""A real worker whose voice service repeats key and script, and jobs with words where none belong: all that it says."""

from __future__ import annotations

import json
from pathlib import Path

from database import execute
from processes import drain
from psycopg.types.json import Jsonb
from standins.http_server import Request, Response, as_json, serve
from standins.mail import RESEND_KEY, Resend

WORD = "quokka"
KEY = "sk-proj-Zq4xYw9Vb2Nm8Lk5"


def repeats_everything(request: Request) -> Response:
    """As gateways do in their error pages."""
    given, word = request.headers.get("authorization", ""), json.loads(request.body)["input"].split()[1]
    message = f"Incorrect API key provided: {given[7:]}, asked for '{word}'"
    return as_json(401, {"error": {"message": message, "type": "auth", "code": "invalid_api_key"}})


def test_no_word_and_no_key_leaves_a_worker(leased_dsn: str, tmp_path: Path) -> None:
    words = f"My {WORD} sleeps on the moon"
    payloads = [
        {"script": f"{words}.", "voice": {"provider": "openai", "model": "tts-1", "id": "nova"}},
        {"binaural": {"band": words}, "script": "I am calm."},
        {"script": {"text": words}},
        {"solfeggio": {"hz": 528}, "backgroundMusic": {"url": f"{WORD}/{words}.mp3"}},
        {"pronounce": {WORD: "<kwoka>"}, "solfeggio": {"hz": 528}},
    ]
    for payload in payloads:
        execute(leased_dsn, "INSERT INTO audio_job_queue (payload) VALUES (%s)", Jsonb({"durationMin": 0.1, **payload}))
    resend = Resend()
    with serve({"/v1": repeats_everything, "/resend": resend}) as url:
        done = drain(
            tmp_path,
            DATABASE_URL=leased_dsn,
            OPENAI_API_KEY=KEY,
            OPENAI_BASE_URL=f"{url}/v1",
            ON_MISSING_MUSIC="fail",
            RESEND_API_KEY=RESEND_KEY,
            RESEND_FROM="MindScript <tracks@example.com>",
            RESEND_API_URL=f"{url}/resend",
            OPS_EMAIL="ops@example.com",
            LOG_LEVEL="DEBUG",
        )
    rows = execute(leased_dsn, "SELECT to_jsonb(q) - 'payload' AS q FROM audio_job_queue q ORDER BY created_at")
    causes = execute(leased_dsn, "SELECT to_jsonb(c) AS c FROM worker_causes c")
    said = {
        "log": done.stdout,
        "command": done.stderr,
        "rows": json.dumps([row["q"] for row in rows]),
        "causes": json.dumps([row["c"] for row in causes]),
        "letters": json.dumps(resend.sent),
    }
    ended = [(row["q"]["status"], row["q"]["error_code"]) for row in rows]
    assert ended == [("pending", "voice.key"), *[("failed", "job.invalid")] * 2, ("failed", "media.missing"),
                     ("failed", "job.invalid")], done.stdout  # fmt: skip
    assert len(resend.sent) == 5
    for where, text in said.items():
        assert WORD not in text.lower(), (where, text)
        assert KEY[8:] not in text, (where, text)
    assert "openai answered 401: Incorrect API key provided: ***, asked for '<text of 6 characters>'" in said["causes"]
    assert "check OPENAI_API_KEY" in said["command"]
