"""`mindscript-worker render`: one job file into one track, on this machine."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.cli.files import beside, read_job
from worker.cli.screen import Row, closing_table, progress_bars
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.cores import compute_in_batch
from worker.errors import JobError, MediaError, WorkerError
from worker.formats import FORMATS
from worker.payload.parse import parse_job
from worker.payload.schema import Layer, RenderJob
from worker.payload.script import Sentence, parse_script

_RECORDED: Final[tuple[Layer, ...]] = ("voice", "music")


def render(options: argparse.Namespace, config: Config) -> int:
    """Run the command."""
    for option, path in (("--voice", options.voice), ("--music", options.music)):
        if path is not None and not path.is_file():
            raise MediaError(f"{option}: there is no file {path}")
    recordings: tuple[Layer, ...] = tuple(name for name in _RECORDED if getattr(options, name) is not None)
    job = parse_job(
        read_job(options.job),
        max_script_characters=config.max_script_characters,
        max_duration_min=config.max_duration_min,
        recordings=recordings,  # type: ignore[arg-type]
    )
    return render_job(job, options, config, recordings=recordings)


def render_job(job: RenderJob, options: argparse.Namespace, config: Config, *, recordings: tuple[Layer, ...]) -> int:
    """Render a job as the options of `render` say."""
    if job.unknown_keys and options.debug:
        from loguru import logger

        logger.debug("ignored keys of the job: {}", ", ".join(job.unknown_keys))
    out, encoding, to_stdout = _destination(options, job)
    for path in (out, options.preview, options.report):
        if path is not None and not path.parent.is_dir():
            raise WorkerError(f"{path}: there is no folder {path.parent}", code="output.folder")
    compute_in_batch()
    from worker.render.produce import produce
    from worker.render.studio import open_studio

    new_takes = _sentences_of(options.new_take, job.script)
    folder = Path.cwd() if options.job == "-" else Path(options.job).resolve().parent
    studio = open_studio(
        config,
        beside(folder, config),
        voice_file=options.voice,
        music_file=options.music,
        new_takes=new_takes,
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mindscript-out-") as spool:
        track = Path(spool) / f"track.{encoding.format}" if to_stdout else out
        with progress_bars(quiet=options.quiet) as bars:
            produced = produce(
                job,
                track,
                studio=studio,
                encoding=encoding,
                recordings=recordings,
                preview=options.preview,
                preview_s=config.preview_seconds,
                on_progress=bars.track(out.name),
            )
        if to_stdout:
            with track.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    report = produced.report
    figures = report.as_json()
    rows = [Row.of(figures, out, time.perf_counter() - started)]
    if produced.twin is not None and produced.twin_report is not None:
        figures["twin"] = produced.twin_report.as_json()
        rows.append(Row.of(figures["twin"], produced.twin, time.perf_counter() - started))
    if options.report is not None:
        options.report.write_text(json.dumps(figures, indent=2) + "\n")
    if not options.quiet:
        closing_table(rows)
        for note in report.notes:
            print(f"note: {note}", file=sys.stderr)
    return 0


def _sentences_of(lines: Sequence[int], script: str) -> list[str]:
    """The sentences in some lines of a script, which are counted from 1."""
    written = script.splitlines()
    sentences = []
    for number in lines:
        line = written[number - 1] if 0 < number <= len(written) else ""
        found = [part.text for part in parse_script(line) if isinstance(part, Sentence)]
        if not found:
            raise JobError(f"--new-take: found line {number}, which has no words; the script has {len(written)} lines")
        sentences += found
    return sentences


def _destination(options: argparse.Namespace, job: RenderJob) -> tuple[Path, Encoding, bool]:
    """Where the track goes, in which format, and whether that is standard output."""
    format_ = job.output.format
    out: Path | None = options.out
    to_stdout = str(out) == "-" or (out is None and not sys.stdout.isatty())
    if out is None or to_stdout:
        name = "track" if options.job == "-" else Path(options.job).stem
        return Path(f"{name}.{format_}"), Encoding.for_quality(format_, job.output.quality), to_stdout
    if out.is_dir():
        raise WorkerError(f"{out}: this is a folder, a file is needed", code="output.folder")
    ending = out.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise JobError(
            f"--out: found the ending {out.suffix!r}, allowed are {', '.join('.' + name for name in FORMATS)}"
        )
    return out, Encoding.for_quality(ending, job.output.quality), False
