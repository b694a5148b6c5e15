"""`mindscript-worker validate`: checks job files without rendering them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from worker.cli.error_lines import print_errors
from worker.config import Config
from worker.errors import JobError
from worker.payload.schema import RenderJob
from worker.payload.script import Sentence, parse_script
from worker.plan.layer_jobs import speech_jobs
from worker.tasks.job_checks import CheckedJob, check_job, warn
from worker.tasks.job_files import job_files


def validate(config: Config, *, jobs: Sequence[str], strict: bool = False, as_json: bool = False) -> int:
    """Check jobs, and say of each what it is or all that is wrong with it; for the arguments see `arguments`."""
    checked = [check_job(file, config, strict=strict) for file in job_files(jobs)]
    if as_json:
        from worker.cli.terminal import print_json

        print_json([as_object(each) for each in checked])
    else:
        _print_lines(checked)
    return JobError.exit_status if any(each.error is not None for each in checked) else 0


def as_object(checked: CheckedJob) -> dict[str, Any]:
    """A checked job for JSON; the keys are an interface."""
    job = checked.job
    return {
        "job": checked.file.label,
        "ok": checked.error is None,
        "title": job and job.metadata.title,
        "length_s": job and length_s(job),
        "layers": job and list(job.layers),
        "voice": job and voice_of(job),
        "characters": job and spoken_characters(job),
        "errors": [] if checked.error is None else list(checked.error.lines),
        "warnings": list(checked.warnings),
    }


def length_s(job: RenderJob) -> float | None:
    """How long a track will be; None: as long as its speech."""
    return None if job.duration_min is None else job.duration_min * 60


def voice_of(job: RenderJob) -> str | None:
    """Who speaks, each as `say --voice` takes it; None for a job without a voice."""
    voices = (each.voice for each in speech_jobs(job))
    return ", ".join(f"{voice.provider}:{voice.id}" if voice.id else voice.provider for voice in voices) or None


def spoken_characters(job: RenderJob) -> int:
    """How many characters its voices are given; a script that is repeated is spoken once."""
    scripts = (parse_script(each.script) for each in speech_jobs(job) if each.voice.provider != "uploaded")
    return sum(len(part.said) for script in scripts for part in script.parts if isinstance(part, Sentence))


def _print_lines(checked: Sequence[CheckedJob]) -> None:
    from rich.table import Table

    from worker.cli.terminal import console, length, words

    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("", "job", "title", "length", "layers", "voice", "characters"):
        table.add_column(heading, justify="right" if heading in ("length", "characters") else "left")
    for each in checked:
        if (job := each.job) is None:
            table.add_row(words("bad", style="red"), words(each.file.label))
            continue
        table.add_row(
            words("ok", style="green"),
            words(each.file.label),
            words(job.metadata.title, longest=30),
            words(length(length_s(job)) or "its speech"),
            words(", ".join(job.layers)),
            words(voice_of(job)),
            words(spoken_characters(job) or None),
        )
    console().print(table)
    sys.stdout.flush()
    for each in checked:
        warn(each, named=True)
        if each.error is not None:
            print_errors(each.error.lines, of=each.file.label)
