"""`mindscript-worker say`: a few words by any voice, to hear what it is like."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from worker.cli.render import render_tasks
from worker.cli.render_tasks import RenderOptions, task_of
from worker.config import Config
from worker.errors import JobError
from worker.payload.parse import parse_job
from worker.tasks.job_files import STANDARD_INPUT, JobFile
from worker.tasks.outputs import Overwrite, check_outputs
from worker.voices import PROVIDERS

_STEM = "say"


def say(
    config: Config,
    *,
    text: str,
    voice: str,
    model: str | None,
    speed: float,
    take: int,
    out: str | None,
    force: bool = False,
    play: bool = False,
    quiet: bool,
    as_json: bool = False,
) -> int:
    """Run the command: a job of nothing but these words, as long as they are."""
    if as_json and out == STANDARD_INPUT:
        raise JobError("--json: found with -o -; it needs standard output, at the end")
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
    words = JobFile("say", Path.cwd(), None)
    overwrite = Overwrite(force=force)
    task = task_of(job, words, RenderOptions(out=out), stem=_free_stem() if out is None else _STEM)
    check_outputs(task.outputs(), task.inputs, overwrite)
    return render_tasks([task], config, overwrite, play=play, quiet=quiet, as_json=as_json)


def _free_stem() -> str:
    """The first of say, say-2, say-3 and so on that no file here has: voices are tried again and again."""
    stems = itertools.chain([_STEM], (f"{_STEM}-{number}" for number in itertools.count(2)))
    return next(stem for stem in stems if not os.path.lexists(f"{stem}.wav"))
