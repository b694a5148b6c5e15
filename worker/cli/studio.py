"""`mindscript-worker studio`: a page on this machine where a job is heard while it is being changed."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.cli.examples import examples_folder, has_local_voice
from worker.cli.program import program
from worker.cli.terminal import console, words
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.os_errors import in_words
from worker.payload.aliases import load_payload
from worker.studio.folder import StudioFolder, texts_of
from worker.studio.server import StudioServer
from worker.studio.starts import Start
from worker.tasks.files import beside
from worker.tasks.job_files import job_files

_FOLDER = Path("studio")
_FILES = ("demo-loop.flac", "start/recording.flac")  # of the first job


def studio(config: Config, *, job: str | None, port: int, folder: Path | None) -> int:
    """Serve until Ctrl-C; for the arguments see `worker.cli.arguments`."""
    name, payload, beside_job = first_job(spoken=has_local_voice()) if job is None else _job_of(job)
    place = folder or (_FOLDER if job is None else beside_job)
    try:
        place.mkdir(parents=True, exist_ok=True)
        files = StudioFolder(place, beside(beside_job, config), frozenset(texts_of(payload)))
        if job is None:
            for name_of_file in _FILES:
                files.copy_in(beside_job / name_of_file)
    except OSError as error:
        raise WorkerError(f"{error.filename or place}: {in_words(error)}", code="output.folder") from None
    out = console()
    with StudioServer(config, files, Start(payload, name, _program_of_any_folder(), place), port=port) as server:
        out.print("The studio is open at", soft_wrap=True)
        print(f"\n  {server.address}")  # with its token, which `words` would mask
        out.print("\nThe address works once. Tracks and recordings are in ", words(place), ".", sep="", soft_wrap=True)
        out.print("Ctrl-C ends the studio.", soft_wrap=True)
        out.file.flush()  # a pipe would keep the address back
        try:
            while True:  # a signal just before an endless wait begins would not end it
                time.sleep(1)
        except KeyboardInterrupt:
            out.print("\nThe studio is closed.", soft_wrap=True)
    return 0


def _program_of_any_folder() -> str:
    """What to type for this program, whatever the current folder is."""
    called, *rest = shlex.split(program())
    return shlex.join([str(Path(called).absolute()) if os.sep in called else called, *rest])


def first_job(*, spoken: bool) -> tuple[str, Mapping[str, Any], Path]:
    """The job of `init`, spoken or recorded, and the folder of its files."""
    examples = examples_folder()
    file = examples / "start" / ("spoken.json" if spoken else "recorded.json")
    return "first-track", load_payload(file.read_bytes()), examples


def _job_of(given: str) -> tuple[str, Mapping[str, Any], Path]:
    files = job_files([given])
    if len(files) != 1 or files[0].line is not None:
        raise JobError(f"{given}: found {len(files)} jobs, allowed is one", code="job.file")
    (file,) = files
    try:
        return file.stem, load_payload(file.read()), file.folder
    except JobError as error:
        raise JobError(f"{file.label}: {error.message}", code=error.code) from None
