"""Jobs as the web app places them, the services around a worker, and a check of what has become of each job."""

from __future__ import annotations

import io
import json
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
from standins.short_timeouts import ShortTimeoutWorker, short_timeout_worker
from standins.speech import ELEVENLABS_VOICES, Answer, Service
from standins.storage_project import Fault
from standins.supabase import Project

from dsp.noise import Noise

RATE = 44_100
KEYS = {"OPENAI_API_KEY": "sk-secret-key", "ELEVENLABS_API_KEY": "el-secret-key"}
RESULT_KEYS = {
    *("url", "audioUrl", "preview_url", "previewUrl", "storagePath"),
    *("duration", "durationMs", "size", "format", "layers", "quality"),
}


@dataclass(frozen=True)
class Case:
    """One job.

    Attributes
    ----------
    payload : dict
        What differs from `JOB`.
    provider : str
        ``openai`` or ``elevenlabs``: two pieces of speech; empty: an uploaded voice.
    speech : tuple of Answer
        What the second piece gets before it is spoken.
    faults : tuple of dict
        Of storage; ``{track}`` in the path is the job's own.
    attempts : int
        That the row counts in the end.
    says : str
        What the log must name (configuration), or the row's error code (permanent).
    layers : int
        Of the delivered track.
    preview : bool
        Whether there is one.
    notes : tuple of str
        Words of each note in the result that says what could not be had.
    """

    name: str
    payload: dict[str, Any] = field(default_factory=dict)
    provider: str = ""
    speech: tuple[Answer, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    attempts: int = 1
    says: str = ""
    layers: int = 3
    preview: bool = True
    notes: tuple[str, ...] = ()


@dataclass
class Placed:
    """A job in the queue."""

    case: Case
    job_id: str
    track_id: str
    word: str
    waits_s: list[float] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def pieces(self) -> tuple[str, str]:
        return f"{self.word} begins.", f"{self.word} goes on."


CUSTOMER = "7c1d6a52-3f0e-4b7b-9a55-0d6f4c1be001"
JOB: dict[str, Any] = {
    "voice": {"provider": "uploaded", "url": f"{CUSTOMER}/me.wav"},
    "durationMin": 0.1,
    "startDelaySec": 0.5,
    "pauseSec": 1,
    "backgroundMusic": {"url": "rain.flac"},
    "solfeggio": {"enabled": True, "hz": 528},
}


def customer(dsn: str, user_id: str = CUSTOMER, email: str | None = None) -> str:
    """Have a customer in `auth.users`, where the database has that table; their id."""
    if execute(dsn, "SELECT to_regclass('auth.users') AS there")[0]["there"] is not None:
        execute(dsn, "INSERT INTO auth.users (id, email) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING", user_id, email)
    return user_id


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
    jobs: list[Placed] = field(default_factory=list)

    def enqueue(self, case: Case) -> Placed:
        """Put a row into `tracks` and one into the queue, as the payment webhook does, and its faults in place."""
        track_id, user_id = str(uuid.uuid4()), customer(self.dsn)
        execute(self.dsn, "INSERT INTO tracks (id, user_id) VALUES (%s, %s)", track_id, user_id)
        word = f"Job {len(self.jobs):03d}"
        payload = {**JOB, **json.loads(json.dumps(case.payload).replace("{project}", self.project.url))}
        if case.provider:
            payload["voice"] = {"provider": case.provider, **case.payload.get("voice", {})}
            payload["script"] = f"{word} begins. [pause 0.5s] {word} goes on."
        rows = execute(
            self.dsn,
            "INSERT INTO audio_job_queue (track_id, user_id, status, payload) "
            "VALUES (%s, %s, 'pending', %s) RETURNING id",
            track_id,
            user_id,
            json.dumps(payload),
        )
        placed = Placed(case, str(rows[0]["id"]), track_id, word)
        self.jobs.append(placed)
        self.speech.answers_for[placed.pieces[1]] = list(case.speech)
        for fault in case.faults:
            given = dict(fault)
            path = given.pop("path").format(track=track_id)
            placed.faults.append(self.project.storage.fault(given.pop("method"), path, given.pop("kind"), **given))
        return placed

    @contextmanager
    def worker(self, **settings: str) -> Iterator[ShortTimeoutWorker]:
        with short_timeout_worker(
            self.folder,
            SUPABASE_URL=self.project.url,
            SUPABASE_SERVICE_ROLE_KEY=self.project.key,
            OPENAI_BASE_URL=f"{self.speech.url}/v1",
            ELEVENLABS_BASE_URL=self.speech.url,
            ELEVENLABS_TTS_VOICE=ELEVENLABS_VOICES[0],
            **KEYS,
            **settings,
        ) as worker:
            yield worker
        text = worker.log.read_text()
        assert not [secret for secret in (self.project.key, *KEYS.values()) if secret in text]
        assert not [job.word for job in self.jobs if job.word in text], "a script is in the log"

    def wait(
        self, worker: ShortTimeoutWorker, until: Callable[[dict[str, Any]], bool], *, timeout_s: float = 200
    ) -> None:
        """Wait for every row; a job that is to be tried again later is brought forward, its wait noted."""
        deadline = time.monotonic() + timeout_s
        while True:
            rows = {str(row["id"]): row for row in execute(self.dsn, "SELECT *, now() FROM audio_job_queue")}
            waiting = [job for job in self.jobs if not until(rows[job.job_id])]
            if not waiting:
                return
            for job in waiting:
                row = rows[job.job_id]
                if row["status"] == "pending" and row["attempt"] > len(job.waits_s):
                    job.waits_s.append((row["run_after"] - row["updated_at"]).total_seconds())
                    execute(self.dsn, "UPDATE audio_job_queue SET run_after = now() WHERE id = %s", job.job_id)
            assert worker.process.poll() is None, worker.log.read_text()
            assert time.monotonic() < deadline, [(job.case.name, rows[job.job_id]) for job in waiting]
            time.sleep(0.1)

    def asked_to_go_on(self, job: Placed) -> int:
        """How often the second piece was asked for."""
        bodies = [request["body"] for request in self.speech.requests]
        return [body.get("input") or body["text"] for body in bodies].count(job.pieces[1])

    def stored(self, job: Placed) -> dict[str, bytes]:
        """What storage holds of a job, by ``bucket/key``."""
        objects = self.project.storage.objects.items()
        return {f"{bucket}/{key}": stored.data for (bucket, key), stored in objects if job.track_id in key}

    def each(self, check: Callable[[Placed], None]) -> None:
        """Check every job; tell of all that are wrong."""
        wrong = []
        for job in self.jobs:
            try:
                check(job)
            except AssertionError as error:
                error.add_note(f"in the job: {job.case.name}")
                wrong.append(error)
        if wrong:
            raise ExceptionGroup("jobs that went wrong", wrong)

    def check_delivered(self, job: Placed) -> None:
        """The file, the preview, the track row and the result, each as the app reads them."""
        row = row_of(self.dsn, job.job_id)
        assert (row["status"], row["progress"]) == ("completed", 100), row
        assert row["attempt"] == job.case.attempts
        assert row["error"] is None
        result = row["result"]
        assert result.keys() >= RESULT_KEYS
        seconds = round(60 * {**JOB, **job.case.payload}["durationMin"], 3)
        assert result["url"] == result["audioUrl"] == result["storagePath"]
        assert result["preview_url"] == result["previewUrl"]
        assert result["duration"] == round(seconds)
        assert result["durationMs"] == round(1000 * seconds)
        assert result["layers"] == len(result["quality"]["layers"]) == job.case.layers
        noted = [note for note in result["notes"] if "without it" in note or "preview" in note]
        assert len(noted) == len(job.case.notes), noted
        assert all(words in note for words, note in zip(job.case.notes, noted, strict=True)), noted
        assert result["quality"]["true_peak_dbtp"] <= -1.0
        reached = any(note.startswith("loudness: reached") for note in result["notes"])
        assert result["quality"]["integrated_lufs"] == pytest.approx(-16, abs=0.1) or reached
        track = execute(self.dsn, "SELECT * FROM tracks WHERE id = %s", job.track_id)[0]
        assert track["audio_url"] == result["url"]
        assert track["preview_url"] == result["preview_url"]
        assert track["duration_seconds"] == result["duration"]
        assert track["status"] == "published"
        stored = self.stored(job)
        places = [(result["url"], seconds)]
        if job.case.preview:
            preview = result["preview_url"].removeprefix(f"{self.project.url}/storage/v1/object/public/")
            assert preview.startswith(f"track-previews/{job.track_id}/{job.job_id}-")
            places.append((preview, min(15, seconds)))
        else:
            assert result["preview_url"] is None
        assert stored.keys() == {place for place, _ in places}
        assert result["url"].startswith(f"audio-renders/tracks/{job.track_id}/{job.job_id}-")
        assert result["size"] == len(stored[result["url"]])
        for place, length in places:
            samples, rate = soundfile.read(io.BytesIO(stored[place]))
            assert len(samples) / rate == pytest.approx(length, abs=0.1)  # libsndfile leaves MP3's padding in
            assert np.abs(samples).max() > 0.05
        if job.case.provider:
            paid = [self.speech.whole[piece] for piece in job.pieces]
            assert paid == [1, 1], f"paid twice, or not at all: {paid}"

    def check_unpublished(self, job: Placed) -> None:
        assert not self.stored(job)
        track = execute(self.dsn, "SELECT * FROM tracks WHERE id = %s", job.track_id)[0]
        assert track["status"] != "published"
        assert track["audio_url"] is None


def ended(row: dict[str, Any]) -> bool:
    """Whether nothing more will become of a job."""
    return row["status"] in ("completed", "failed", "cancelled")
