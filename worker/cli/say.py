"""`mindscript-worker say`: a few words by any voice, to hear what it is like."""

from __future__ import annotations

import argparse
from typing import Any

from worker.cli.render import render_job
from worker.config import Config
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.voices import PROVIDERS


def say(options: argparse.Namespace, config: Config) -> int:
    """Run the command: a job of nothing but these words, as long as they are."""
    provider, _, voice_id = options.voice.partition(":")
    speaking = [name for name, entry in PROVIDERS.items() if entry.implementation]
    if provider not in speaking:
        raise JobError(f"--voice: found {provider!r}, allowed is one of {', '.join(speaking)}, or PROVIDER:VOICE")
    voice: dict[str, Any] = {"provider": provider, "speed": options.speed, "take": options.take}
    if voice_id:
        voice["id"] = voice_id
    if options.model:
        voice["model"] = options.model
    fade = {"inMs": 0, "outMs": 0}
    job = parse_job(
        {"script": options.text, "voice": voice, "fade": fade, "loopMode": False, "outputFormat": "wav"},
        max_script_characters=config.max_script_characters,
    )
    job = job.model_copy(update={"duration_min": None, "start_delay_s": None})  # as long as the words
    unused = {"job": "say", "voice": None, "music": None, "preview": None, "report": None, "new_take": ()}
    return render_job(job, argparse.Namespace(**{**vars(options), **unused}), config, recordings=())
