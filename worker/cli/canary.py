"""`mindscript-worker canary`: a ten-second job through all that is configured, made by the worker that is deployed.

It is nobody's job, so the app shows it to nobody and its trigger names nobody; when it has ended, its rows and files
are removed. Only its speech stays in the cache.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worker.cli.database import with_database
from worker.cli.forget import customer_id
from worker.cli.program import program
from worker.cli.terminal import print_json, words
from worker.config import Config
from worker.errors import ConfigurationError, JobError, WorkerError
from worker.queue.canary_rows import CanaryRows, Placed
from worker.queue.claims import JobRow
from worker.queue.operations import ENDED
from worker.queue.plain_tracks import UNFINISHED_STAGE
from worker.queue.service import Queue, open_queue
from worker.queue.words import PRIORITIES
from worker.storage.base import RENDERS, Storage
from worker.storage.choose import open_storage
from worker.untrusted_json import read_object
from worker.voices import PROVIDERS

_LOOK_S = 0.3
_MINUTES = 0.17  # a track of ten seconds
_LET_GO_S = 8.0  # a worker stops a cancelled job within 5 s, and removes what it has uploaded
_FETCH_S = 30.0
_MOST_FILES = 100


@dataclass
class Trial:
    """One canary: what has been learnt of it. `steps` are seconds by what they were spent on."""

    voice: str
    placed: Placed
    steps: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    worker: str | None = None
    failure: str | None = None
    layers_due: int = 0


def canary(
    config: Config,
    *,
    voices: Sequence[str],
    music: str | None,
    no_music: bool,
    user: str | None,
    timeout_s: float,
    as_json: bool = False,
) -> int:
    """Send a job for each voice, follow it to its end, check what it delivers, and clean up; 1 if anything is amiss."""
    for provider in (voice.partition(":")[0] for voice in voices):
        if provider not in PROVIDERS:
            raise JobError(f"--voice: found {provider!r}, allowed are {', '.join(PROVIDERS)}")
    user = None if user is None else customer_id(user)
    with (
        with_database(config) as config,
        closing(open_queue(config, worker_name="mindscript-canary")) as queue,
        closing(open_storage(config)) as storage,
    ):
        state = queue.queue_state()
        if state.paused_at is not None:
            raise ConfigurationError(f"the queue is paused ({words(state.reason)}): `{program()} queue resume`")
        rows = queue.canary_rows(user)
        rows.check_that_it_can_end()
        reference = None if no_music else {"url": music} if music else rows.music()
        trials = []
        for voice in voices or _configured(config):
            with _cleaned_up(rows, queue, storage, config) as start:
                trial = start(voice, _payload(voice, reference), music=reference is not None)
                _follow(trial, queue, timeout_s)
                if trial.failure is None:
                    _check(trial, queue, rows, storage)
                trials.append(trial)
            if not as_json:
                _print(trial, lacks_music=reference is None and not no_music)
        if as_json:
            print_json([_document(trial) for trial in trials])
    return int(any(trial.failure is not None for trial in trials))


def _configured(config: Config) -> list[str]:
    """The providers that have a key here; without any, the local voice."""
    keys = {name: info.key_variable for name, info in PROVIDERS.items() if info.key_variable and "-" not in name}
    return [name for name, variable in keys.items() if getattr(config, variable.lower()) is not None] or ["local"]


def _payload(voice: str, music: Mapping[str, str] | None) -> dict[str, Any]:
    """A payload as the web app writes it, in words that no cache has."""
    provider, _, name = voice.partition(":")
    spoken = " ".join(str(random.randrange(10, 100)) for _ in range(3))
    return {
        "script": f"This is a trial. {spoken}.",
        "voice": {"provider": provider, **({"id": name} if name else {})},
        "durationMin": _MINUTES,
        "startDelaySec": 0,
        "pauseSec": 1,
        "backgroundMusic": music,
        "solfeggio": {"enabled": True, "hz": 528},
        "binaural": {"enabled": True, "band": "theta"},
    }


def _follow(trial: Trial, queue: Queue, timeout_s: float) -> None:
    """Wait until the job has ended, or until it is clear that it will not."""
    began = time.monotonic()
    claimed = False
    row: JobRow | None = None
    while time.monotonic() - began < timeout_s:
        row = queue.job(trial.placed.job_id)
        if row is None:
            trial.failure = "its row has gone: somebody has deleted it"
            return
        if not claimed and (row.status != "pending" or row.attempt):
            claimed, trial.steps["wait for a worker"] = True, time.monotonic() - began
        trial.worker = row.claimed_by or trial.worker
        # over HTTP in plain mode the track is written after the row has ended
        if row.status in ENDED and (row.status, row.stage) != ("completed", UNFINISHED_STAGE):
            trial.steps["in all"] = time.monotonic() - began
            if row.status != "completed":
                trial.failure = f"it was {row.status}: {_why(queue, row)}"
            return
        if row.parked_cause is not None:
            cause = next((each for each in queue.causes() if each.name == row.parked_cause), None)
            trial.failure = f"it waits for {row.parked_cause}" + (f": {cause.message}" if cause else "")
            return
        time.sleep(_LOOK_S)
    if row is None or not claimed:
        trial.failure = f"no worker took it within {timeout_s:.0f} s: is one running, on this database?"
    else:
        trial.failure = (
            f"it has not ended after {timeout_s:.0f} s, at the stage {row.stage or 'of waiting'!r}: {_why(queue, row)}"
        )


def _why(queue: Queue, row: JobRow) -> str:
    """The operator's line of the last attempt, else what the row has."""
    if queue.mode == "leased":
        attempts = queue.attempts(row.job_id)
        if attempts and attempts[-1].report.error:
            return f"{attempts[-1].report.error} ({attempts[-1].code or attempts[-1].outcome})"
    noted = read_object(queue.result_of(row.job_id)).get("worker")
    code = noted.get("code") if isinstance(noted, dict) else row.error_code
    return " ".join(str(each) for each in (code and f"({code})", row.error) if each) or "the worker's log says why"


def _check(trial: Trial, queue: Queue, rows: CanaryRows, storage: Storage) -> None:
    """Read what a completed job has delivered as the app would; the first thing that is amiss is the failure."""
    placed = trial.placed
    result = read_object(queue.result_of(placed.job_id))
    quality = result.get("quality")
    stages = quality.get("stage_seconds") if isinstance(quality, dict) else None
    total = trial.steps.pop("in all")
    trial.steps |= {str(name): float(seconds) for name, seconds in (stages or {}).items()}
    trial.steps["in all"] = total
    trial.notes = [str(note) for note in result.get("notes") or ()]
    path, preview = str(result.get("url") or ""), result.get("preview_url")
    if rows.delivered(placed) != path or not path:
        trial.failure = f"the track's row has not the delivered file ({path or 'none'}): look at the app's triggers"
    elif preview is None:
        trial.failure = "it has no preview: look at PREVIEW_BUCKET"
    elif result.get("layers") != trial.layers_due:
        trial.failure = f"it has {result.get('layers')} layers, {trial.layers_due} were asked for"
    else:
        began = time.monotonic()
        size, due = _size_of(storage, path), result.get("size")
        trial.steps["fetch the track"] = time.monotonic() - began
        if size != due:
            trial.failure = f"its track cannot be fetched whole: {size} bytes of {due}"


def _size_of(storage: Storage, path: str) -> int | None:
    """Fetch the track over its link; None where that fails."""
    bucket, _, key = path.partition("/")
    link = storage.link(bucket, key, valid_s=60)
    if link is None or "://" not in link:
        return None if link is None else Path(link).stat().st_size
    import httpx

    try:
        return len(httpx.get(link, timeout=_FETCH_S).raise_for_status().content)
    except httpx.HTTPError:
        return None


@contextmanager
def _cleaned_up(rows: CanaryRows, queue: Queue, storage: Storage, config: Config) -> Iterator[Any]:
    """Gives what places a job; afterwards its rows and files are gone, however the block ends."""
    trials: list[Trial] = []

    def start(voice: str, payload: Mapping[str, Any], *, music: bool) -> Trial:
        trials.append(Trial(voice, rows.place(payload), layers_due=3 + music))
        if queue.mode == "leased":
            queue.set_priority([trials[0].placed.job_id], PRIORITIES[-1])
        return trials[0]

    try:
        yield start
    finally:
        for trial in trials:
            _end(trial, queue)
            _remove_files(trial.placed, storage, config)
            rows.remove(trial.placed)


def _end(trial: Trial, queue: Queue) -> None:
    """Cancel the job if it has not ended, and let its worker notice."""
    handled = queue.cancel([trial.placed.job_id])[trial.placed.job_id]
    deadline = time.monotonic() + _LET_GO_S
    while handled.done and handled.status == "processing" and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        if queue.mode == "leased" and any(each.outcome == "cancelled" for each in queue.attempts(trial.placed.job_id)):
            break


def _remove_files(placed: Placed, storage: Storage, config: Config) -> None:
    """Whatever lies in the track's folders: they are the canary's alone."""
    for bucket, folder in ((RENDERS, f"tracks/{placed.track_id}"), (config.preview_bucket, placed.track_id)):
        try:
            names = storage.names_in(bucket, folder, most=_MOST_FILES)
            storage.remove(bucket, [f"{folder}/{name}" for name in names])
        except WorkerError as error:
            print(f"left in {bucket}/{folder}: {words(error.message)}")


def _print(trial: Trial, *, lacks_music: bool) -> None:
    print(f"{words(trial.voice)}: job {trial.placed.job_id}" + (f" by {words(trial.worker)}" if trial.worker else ""))
    for step, seconds in trial.steps.items():
        print(f"  {words(step).plain:<20} {seconds:7.2f} s")
    if lacks_music:
        print("  without music: the catalogue has none; --music names one")
    for note in trial.notes:
        print(f"  note: {words(note)}")
    print(
        f"  failed: {words(trial.failure)}" if trial.failure is not None else "  good; its rows and files are removed"
    )


def _document(trial: Trial) -> dict[str, Any]:
    known = asdict(trial)
    known.pop("layers_due")
    return {**known, "ok": trial.failure is None}
