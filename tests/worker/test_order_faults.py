"""Whole orders, each with one fault on its way: real supabase-py, real SDKs, real processes, many orders a worker.

From a row in the queue: what passes is waited out and paid once; what an operator must mend puts the order back
uncounted, and once mended it goes through; what only the customer can change fails it at once, in plain words.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from database import execute, row_of
from standins.hurried import Hurried, hurried_worker
from standins.speech import Answer, Service, speech_service
from standins.storage import MB, Bucket, locked_body, no_bucket, rendered
from standins.supabase import Project, supabase_standin
from test_hostile_media import flac_of_silence, wav_bytes

from dsp.noise import Noise
from worker.codec.ffmpeg import find_ffmpeg

RATE = 44_100
KEYS = {"OPENAI_API_KEY": "sk-secret-key", "ELEVENLABS_API_KEY": "el-secret-key"}
RESULT_KEYS = {
    *("url", "audioUrl", "preview_url", "previewUrl", "storagePath"),
    *("duration", "durationMs", "size", "format", "layers", "quality"),
}
LARGE = {"outputFormat": "wav", "durationMin": 0.7}  # over 6 MB, the most that goes up in one piece


@dataclass(frozen=True)
class Case:
    """One order.

    Attributes
    ----------
    payload : dict
        What differs from `ORDER`.
    provider : str
        ``openai`` or ``elevenlabs``: two pieces of speech; empty: an uploaded voice.
    speech : tuple of Answer
        What the second piece gets before it is spoken.
    faults : tuple of dict
        Of storage; ``{track}`` in the path is the order's own.
    attempts : int
        That the row counts in the end.
    says : str
        What the log must name (configuration), or the row's error code (permanent).
    """

    name: str
    payload: dict[str, Any] = field(default_factory=dict)
    provider: str = ""
    speech: tuple[Answer, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    attempts: int = 1
    says: str = ""


@dataclass
class Placed:
    """An order in the queue."""

    case: Case
    job_id: str
    track_id: str
    word: str
    waits_s: list[float] = field(default_factory=list)

    @property
    def pieces(self) -> tuple[str, str]:
        return f"{self.word} begins.", f"{self.word} goes on."


ORDER: dict[str, Any] = {
    "voice": {"provider": "uploaded", "url": "me.wav"},
    "durationMin": 0.1,
    "startDelaySec": 0.5,
    "pauseSec": 1,
    "backgroundMusic": {"url": "rain.flac"},
    "solfeggio": {"enabled": True, "hz": 528},
}


def sound(seconds: float, format_: str) -> bytes:
    file = io.BytesIO()
    n = np.arange(round(seconds * RATE))
    soundfile.write(file, 0.1 * Noise("pink", 3, RATE).render(0, len(n)), RATE, format=format_)
    return file.getvalue()


@dataclass
class Place:
    """Everything around the worker."""

    dsn: str
    folder: Path
    project: Project
    speech: Service
    orders: list[Placed] = field(default_factory=list)

    def order(self, case: Case) -> Placed:
        """Put a row into `tracks` and one into the queue, as the payment webhook does, and its faults in place."""
        track_id = str(uuid.uuid4())
        execute(self.dsn, "INSERT INTO tracks (id) VALUES (%s)", track_id)
        word = f"Order {len(self.orders):03d}"
        payload = {**ORDER, **case.payload}
        if case.provider:
            payload["voice"] = {"provider": case.provider, **case.payload.get("voice", {})}
            payload["script"] = f"{word} begins. [pause 0.5s] {word} goes on."
        rows = execute(
            self.dsn,
            "INSERT INTO audio_job_queue (track_id, status, payload) VALUES (%s, 'pending', %s) RETURNING id",
            track_id,
            json.dumps(payload),
        )
        placed = Placed(case, str(rows[0]["id"]), track_id, word)
        self.orders.append(placed)
        self.speech.answers_for[placed.pieces[1]] = list(case.speech)
        for fault in case.faults:
            given = dict(fault)
            path = given.pop("path").format(track=track_id)
            self.project.storage.fault(given.pop("method"), path, given.pop("kind"), **given)
        return placed

    @contextmanager
    def worker(self, **settings: str) -> Iterator[Hurried]:
        with hurried_worker(
            self.folder,
            SUPABASE_URL=self.project.url,
            SUPABASE_SERVICE_ROLE_KEY=self.project.key,
            OPENAI_BASE_URL=f"{self.speech.url}/v1",
            ELEVENLABS_BASE_URL=self.speech.url,
            **KEYS,
            **settings,
        ) as worker:
            yield worker
        text = worker.log.read_text()
        assert not [secret for secret in (self.project.key, *KEYS.values()) if secret in text]
        assert not [order.word for order in self.orders if order.word in text], "a script is in the log"

    def wait(self, worker: Hurried, until: Callable[[dict[str, Any]], bool], *, timeout_s: float = 100) -> None:
        """Wait for every row; an order that is to be tried again later is brought forward, its wait noted."""
        deadline = time.monotonic() + timeout_s
        while True:
            rows = {str(row["id"]): row for row in execute(self.dsn, "SELECT *, now() FROM audio_job_queue")}
            waiting = [order for order in self.orders if not until(rows[order.job_id])]
            if not waiting:
                return
            for order in waiting:
                row = rows[order.job_id]
                if row["status"] == "pending" and row["attempt"] > len(order.waits_s):
                    order.waits_s.append((row["run_after"] - row["updated_at"]).total_seconds())
                    execute(self.dsn, "UPDATE audio_job_queue SET run_after = now() WHERE id = %s", order.job_id)
            assert worker.process.poll() is None, worker.log.read_text()
            assert time.monotonic() < deadline, [(order.case.name, rows[order.job_id]) for order in waiting]
            time.sleep(0.1)

    def stored(self, order: Placed) -> dict[str, bytes]:
        """What storage holds of an order, by ``bucket/key``."""
        objects = self.project.storage.objects.items()
        return {f"{bucket}/{key}": stored.data for (bucket, key), stored in objects if order.track_id in key}

    def each(self, check: Callable[[Placed], None]) -> None:
        """Check every order; tell of all that are wrong."""
        wrong = []
        for order in self.orders:
            try:
                check(order)
            except AssertionError as error:
                error.add_note(f"in the order: {order.case.name}")
                wrong.append(error)
        if wrong:
            raise ExceptionGroup("orders that went wrong", wrong)

    def check_delivered(self, order: Placed) -> None:
        """The file, the preview, the track row and the result, each as the app reads them."""
        row = row_of(self.dsn, order.job_id)
        assert (row["status"], row["progress"]) == ("completed", 100), row
        assert row["attempt"] == order.case.attempts
        assert row["error"] is None
        result = row["result"]
        assert result.keys() >= RESULT_KEYS
        seconds = round(60 * {**ORDER, **order.case.payload}["durationMin"], 3)
        assert result["url"] == result["audioUrl"] == result["storagePath"]
        assert result["preview_url"] == result["previewUrl"]
        assert result["duration"] == round(seconds)
        assert result["durationMs"] == round(1000 * seconds)
        assert result["layers"] == 3
        assert result["quality"]["true_peak_dbtp"] <= -1.0
        assert result["quality"]["integrated_lufs"] == pytest.approx(-16, abs=0.1)
        track = execute(self.dsn, "SELECT * FROM tracks WHERE id = %s", order.track_id)[0]
        assert track["audio_url"] == result["url"]
        assert track["preview_url"] == result["preview_url"]
        assert track["duration_seconds"] == result["duration"]
        assert track["status"] == "published"
        stored = self.stored(order)
        preview = result["preview_url"].removeprefix(f"{self.project.url}/storage/v1/object/public/")
        assert stored.keys() == {result["url"], preview}
        assert result["url"].startswith(f"audio-renders/tracks/{order.track_id}/{order.job_id}-")
        assert preview.startswith(f"track-previews/{order.track_id}/{order.job_id}-")
        assert result["size"] == len(stored[result["url"]])
        for place, length in ((result["url"], seconds), (preview, min(15, seconds))):
            samples, rate = soundfile.read(io.BytesIO(stored[place]))
            assert len(samples) / rate == pytest.approx(length, abs=0.1)  # libsndfile leaves MP3's padding in
            assert np.abs(samples).max() > 0.05
        if order.case.provider:
            assert [self.speech.whole[piece] for piece in order.pieces] == [1, 1], "paid twice, or not at all"

    def check_unpublished(self, order: Placed) -> None:
        assert not self.stored(order)
        track = execute(self.dsn, "SELECT * FROM tracks WHERE id = %s", order.track_id)[0]
        assert track["status"] != "published"
        assert track["audio_url"] is None


@pytest.fixture
def place(leased_dsn, tmp_path):
    with supabase_standin(leased_dsn) as project, speech_service() as speech:
        project.storage.put("background-music", "rain.flac", sound(6, "FLAC"), "audio/flac")
        project.storage.buckets["voice-uploads"] = Bucket("voice-uploads")
        project.storage.put("voice-uploads", "me.wav", sound(2, "WAV"), "audio/wav")
        yield Place(leased_dsn, tmp_path, project, speech)


def ended(row: dict[str, Any]) -> bool:
    return row["status"] in ("completed", "failed", "cancelled")


# -- what passes

PASSING_SPEECH = [
    ("slow", (Answer(kind="slow"),), 1),
    ("stalled mid-stream", (Answer(kind="stall"),), 1),
    ("dripping", (Answer(kind="drip"),), 1),
    ("line breaks", (Answer(kind="truncate"),), 1),
    ("429", (Answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"}),), 1),
    ("429 for long", (Answer(429, {"detail": {"status": "too_many_requests"}}, {"Retry-After": "900"}),), 2),
    ("500", (Answer(500, b"<html>oops</html>"), Answer(503, {"error": {"message": "overloaded"}})), 1),
    ("500s for long", (Answer(502, b""),) * 4, 2),
    ("no audio at all", (Answer(kind="empty"),), 2),
    ("silence", (Answer(kind="silence"),), 2),
    ("a page", (Answer(kind="page"),), 1),
    ("a page that calls itself audio", (Answer(kind="text"),), {"openai": 2, "elevenlabs": 1}),
]


@pytest.mark.parametrize("second_half", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_a_voice_that_stumbles_costs_time_but_nothing_twice(place, second_half):
    for number, (name, answers, attempts) in enumerate(PASSING_SPEECH):
        provider = ("openai", "elevenlabs")[(number + second_half) % 2]
        counted = attempts if isinstance(attempts, int) else attempts[provider]
        place.order(Case(f"{provider}: {name}", provider=provider, speech=answers, attempts=counted))
    if second_half:
        place.order(Case("half a file as if whole", provider="openai", speech=(Answer(kind="cut"),), attempts=2))
    with place.worker() as worker:
        place.wait(worker, ended)

    def check(order: Placed) -> None:
        assert not place.speech.answers_for[order.pieces[1]], "the fault never happened"
        place.check_delivered(order)
        assert len(order.waits_s) == order.case.attempts - 1
        if order.case.name.endswith("429 for long"):
            assert order.waits_s[0] == pytest.approx(900, abs=5), "the queue must wait as long as it was asked to"
        cache = row_of(place.dsn, order.job_id)["result"]["quality"]["speech_cache"]
        assert cache == ({"hits": 0, "misses": 2} if order.case.attempts == 1 else {"hits": 1, "misses": 1})

    place.each(check)
