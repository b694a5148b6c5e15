"""`mindscript-worker say`: a few words by any voice, to hear what it is like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker.cli.render import render_job
from worker.config import Config
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.voices import PROVIDERS


def say(
    config: Config,
    *,
    text: str,
    voice: str,
    model: str | None,
    speed: float,
    take: int,
    out: Path | None,
    quiet: bool,
) -> int:
    """Run the command: a job of nothing but these words, as long as they are."""
    provider, _, voice_id = voice.partition(":")
    speaking = [name for name, entry in PROVIDERS.items() if entry.implementation]
    if provider not in speaking:
        raise JobError(f"--voice: found {provider!r}, allowed is one of {', '.join(speaking)}, or PROVIDER:VOICE")
    wanted: dict[str, Any] = {"provider": provider, "speed": speed, "take": take}
    wanted |= {key: value for key, value in (("id", voice_id), ("model", model)) if value}
    fade = {"inMs": 0, "outMs": 0}
    job = parse_job(
        {"script": text, "voice": wanted, "fade": fade, "loopMode": False, "outputFormat": "wav"},
        max_script_characters=config.max_script_characters,
    )
    job = job.model_copy(update={"duration_min": None, "start_delay_s": None})  # as long as the words
    return render_job(job, config, job_file="say", out=out, quiet=quiet)
