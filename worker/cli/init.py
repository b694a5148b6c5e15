"""`mindscript-worker init`: a first job with its music, and a file for settings."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from worker.cli.examples import examples_folder, has_local_voice, settings_template
from worker.cli.program import program
from worker.cli.terminal import console, words
from worker.config import Config
from worker.errors import WorkerError
from worker.os_errors import in_words

_PRIVATE = 0o600  # keys are written into it
_SHARED = 0o644


def init(config: Config, *, folder: Path) -> int:
    """Write job.json, its music, its recording where no voice is installed, and .env; never over a file."""
    examples = examples_folder()
    spoken = has_local_voice()
    start = examples / "start"
    written = [
        ("job.json", (start / ("spoken.json" if spoken else "recorded.json")).read_bytes(), _SHARED),
        ("demo-loop.flac", (examples / "demo-loop.flac").read_bytes(), _SHARED),
        *(() if spoken else (("recording.flac", (start / "recording.flac").read_bytes(), _SHARED),)),
        (".env", settings_template().encode(), _PRIVATE),
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, _, _ in written:
            if os.path.lexists(folder / name):
                raise WorkerError(
                    f"{folder / name} is there already, and nothing was written; name another folder: "
                    f"{program()} init FOLDER",
                    code="output.file",
                )
        for name, content, mode in written:
            _write_new(folder / name, content, mode)
    except OSError as error:
        raise WorkerError(
            f"{error.filename or folder}: {in_words(error)}; {program()} init FOLDER needs a folder to write to",
            code="output.folder",
        ) from None
    what = {
        "job.json": "the job: change its words" if spoken else "the job",
        "demo-loop.flac": "its music",
        "recording.flac": "its voice: put a recording of your own in its place",
        ".env": "settings and keys, all unset; read by commands that run in its folder",
    }
    out = console()
    for name, _, _ in written:
        out.print("wrote ", words(folder / name), f"  {what[name]}", sep="", soft_wrap=True)
    if not spoken:
        out.print(
            "\nNo voice is installed that speaks without a key. The extra `local` has one "
            "(pipx install '.[local]'); a job with a script then speaks it.",
            markup=False,
            soft_wrap=True,
        )
    job, track = (shlex.quote(str(folder / name)) for name in ("job.json", "track.mp3"))
    out.print("\nNext:", soft_wrap=True)
    for line in (f"render {job} -o {track}", f"inspect {track}"):
        out.print(f"  {program()} ", words(line), sep="", soft_wrap=True)
    return 0


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet: whole, or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
