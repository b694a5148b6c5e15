"""`mindscript-worker render`: one job file into one track, on this machine."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from worker.cli.files import beside, check_outputs, named_files, read_job
from worker.cli.job_checks import checked_jobs
from worker.cli.job_files import JobFile
from worker.cli.screen import Row, closing_table, progress_bars
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError, MediaError, WorkerError
from worker.formats import FORMATS
from worker.masks import for_terminal
from worker.payload.schema import RenderJob
from worker.payload.script import Sentence, parse_script


def render(
    config: Config,
    *,
    job: str,
    out: Path | None,
    voice: Path | None,
    music: Path | None,
    preview: Path | None,
    report: Path | None,
    quiet: bool,
    strict: bool = False,
    new_takes: Sequence[int] = (),
) -> int:
    """Run the command; for the arguments see `worker.cli.arguments`."""
    given = {"voice": voice, "music": music}
    for name, path in given.items():
        if path is not None and not path.is_file():
            raise MediaError(f"--{name}: there is no file {path}")
    recordings = tuple(name for name, path in given.items() if path is not None)
    file = JobFile(job, Path(job).parent, Path(job), text=read_job(job))
    (checked,) = checked_jobs([file], config, strict=strict, recordings=recordings)  # type: ignore[arg-type]
    return render_job(
        checked,
        config,
        job_file=job,
        out=out,
        voice=voice,
        music=music,
        preview=preview,
        report=report,
        quiet=quiet,
        new_takes=_sentences_of(new_takes, checked.script),
    )


def render_job(
    checked: RenderJob,
    config: Config,
    *,
    job_file: str,
    out: Path | None,
    voice: Path | None = None,
    music: Path | None = None,
    preview: Path | None = None,
    report: Path | None = None,
    quiet: bool,
    new_takes: Sequence[str] = (),
) -> int:
    """Render a checked job; `job_file` names the track where `out` does not, `new_takes` are sentences."""
    file, encoding, to_stdout = _destination(job_file, out, checked)
    folder = Path.cwd() if job_file == "-" else Path(job_file).resolve().parent
    check_outputs(
        {
            "--out": None if to_stdout else file,
            "the track for speakers": file.with_stem(f"{file.stem}-speakers"),
            **{f"the lyrics beside {file.name}": file.with_suffix(end) for end in (".lrc", ".vtt") if checked.lyrics},
            "--preview": preview,
            "--report": report,
        },
        [Path(job_file), *named_files(checked.model_dump(), folder), *(path for path in (voice, music) if path)],
    )
    for path in (file, preview, report):
        if path is not None and not path.parent.is_dir():
            raise WorkerError(f"{path}: there is no folder {path.parent}", code="output.folder")
    from worker.render.produce import produce
    from worker.render.studio import Studio

    studio = Studio(config, beside(folder, config), voice_file=voice, music_file=music, new_takes=new_takes)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mindscript-out-") as spool:
        track = Path(spool) / f"track.{encoding.format}" if to_stdout else file
        with progress_bars(quiet=quiet) as add_bar:
            produced = produce(
                checked,
                track,
                studio=studio,
                encoding=encoding,
                preview=preview,
                preview_s=config.preview_seconds,
                on_progress=add_bar(
                    file.name, length_s=None if checked.duration_min is None else checked.duration_min * 60
                ),
            )
        if to_stdout:
            with track.open("rb") as written:
                shutil.copyfileobj(written, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    seconds = time.perf_counter() - started
    figures = produced.report.as_json()
    rows = [Row(file, figures, seconds)]
    if produced.twin is not None and produced.twin_report is not None:
        figures["twin"] = produced.twin_report.as_json()
        rows.append(Row(produced.twin, figures["twin"], seconds))
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")
    if not quiet:
        closing_table(rows)
        for note in produced.report.notes:
            print(f"note: {for_terminal(note)}", file=sys.stderr)
    return 0


def _sentences_of(lines: Sequence[int], script: str) -> list[str]:
    """The sentences that stand, at least in part, in some lines of a script, which are counted from 1."""
    written, sentences = script.splitlines(), _sentences(script)
    ends = list(accumulate(map(_letters, sentences)))
    wanted = []
    for number in lines:
        first, last = (
            sum(map(_letters, _sentences("\n".join(written[: max(0, count)])))) for count in (number - 1, number)
        )
        found = [
            sentence
            for sentence, end in zip(sentences, ends, strict=True)
            if end > first and end - _letters(sentence) < last
        ]
        if first == last or not found:
            raise JobError(f"--new-take: found line {number}, which has no words; the script has {len(written)} lines")
        wanted += found
    return wanted


def _sentences(script: str) -> list[str]:
    return [part.text for part in parse_script(script).parts if isinstance(part, Sentence)]


def _letters(text: str) -> int:
    """Characters that do not change with where a script is cut."""
    return sum(character.isalnum() for character in text)


def _destination(job_file: str, out: Path | None, job: RenderJob) -> tuple[Path, Encoding, bool]:
    """Where the track goes, in which format, and whether that is standard output."""
    format_ = job.output.format
    to_stdout = str(out) == "-" or (out is None and not sys.stdout.isatty())
    if out is None or to_stdout:
        name = "track" if job_file == "-" else Path(job_file).stem
        return Path(f"{name}.{format_}"), Encoding.for_quality(format_, job.output.quality), to_stdout
    if out.is_dir():
        raise WorkerError(f"{out}: this is a folder, a file is needed", code="output.folder")
    ending = out.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise JobError(
            f"--out: found the ending {out.suffix!r}, allowed are {', '.join('.' + name for name in FORMATS)}"
        )
    return out, Encoding.for_quality(ending, job.output.quality), False
