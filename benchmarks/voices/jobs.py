"""A job whose voices are stand-ins, and what becomes of it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from short_limits import QUICK

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import ConfigurationError, JobError, WaitError, WorkerError
from worker.fallbacks import read_fallbacks
from worker.payload.parse import parse_job
from worker.render.materials import Materials
from worker.render.produce import produce
from worker.tts import cloud_voice, elevenlabs_voice

_PLAIN = {"durationMin": 1, "startDelaySec": 1, "loopMode": False, "outputFormat": "mp3"}


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes
    ----------
    how : str
        In words.
    spoken_by : str
        Provider and model; empty where it was not delivered.
    notes : tuple of str
        Of the report.
    files : mapping of str to bytes
        The track, and what lies beside it, by ending.
    """

    how: str
    spoken_by: str = ""
    notes: Sequence[str] = ()
    files: Mapping[str, bytes] | None = None


def run_job(
    job: Mapping[str, Any],
    *,
    cache: Path | None = None,
    recording: Path | None = None,
    rules: str = "",
    **settings: Any,
) -> JobEnd:
    """Render a job as the worker does, by voices at the addresses that the settings name.

    Parameters
    ----------
    job : mapping
        What differs from a minute of MP3 without repetition.
    cache : Path, optional
        Kept between jobs; by default nothing is in it.
    recording : Path, optional
        Of an uploaded voice.
    rules : str
        `VOICE_FALLBACKS`.
    """
    for known in (cloud_voice.allowed_formats, cloud_voice.request_slots):
        known.clear()
    elevenlabs_voice.models_without_context.clear()
    elevenlabs_voice.stabilities_of_models.clear()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        config = Config(
            cache_dir=cache or here / "cache",
            openai_api_key=SecretStr("sk-test"),
            elevenlabs_api_key=SecretStr("el-test"),
            voice_fallbacks=read_fallbacks(rules),
            service_limits=QUICK,
            **settings,
        )
        recordings = () if recording is None else ("voice",)
        try:
            checked = parse_job({**_PLAIN, **job}, recordings=recordings)  # type: ignore[arg-type]
            produced = produce(
                checked,
                here / "track.mp3",
                materials=Materials(config, _nothing, voice_file=recording, waited_s=math.inf),
                encoding=Encoding.for_quality("mp3", "low"),
            )
        except WorkerError as error:
            return JobEnd(_in_words(error))
        speech = produced.report.speech or {"provider": "uploaded", "model": "-"}
        files = {path.suffix: path.read_bytes() for path in here.glob("track.*")}
        return JobEnd("delivered", f"{speech['provider']}/{speech['model']}", produced.report.notes, files)


def _nothing(reference: str, *, into: Path, what: str) -> Path:
    raise JobError(f"{what}: there is no {reference} in {into.name}")


def _in_words(error: WorkerError) -> str:
    if isinstance(error, JobError):
        return f"fails, `{error.code}`: “{error.customer_message}”"
    if isinstance(error, ConfigurationError | WaitError):
        return f"waits, `{error.code}`"
    return f"is retried, `{error.code}`"
