"""Where a track goes, and in which format: what `-o` says, else a file in this folder."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from worker.codec.encoding import Encoding
from worker.errors import JobError
from worker.formats import FORMATS
from worker.os_errors import in_words
from worker.payload.schema import RenderJob
from worker.tasks.outputs import NOWHERE

STANDARD_OUTPUT = "-"
_STANDARD_OUTPUTS = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_LONGEST_STEM = 80
_UNSUITED = re.compile(r"[^\w ,;.!()'+&=@-]+")


@dataclass(frozen=True)
class Destination:
    """A track's file and format; where it is not kept, the file is only its name in what is printed."""

    path: Path
    encoding: Encoding
    kept: bool = True
    to_stdout: bool = False


def destination(out: str | None, stem: str, job: RenderJob, *, many: bool) -> Destination:
    """Say where a job's track goes.

    Parameters
    ----------
    out : str, optional
        Of ``-o``: a file, a folder, ``-`` or the null device.
    stem : str
        The file's name without its ending, where `out` does not give it.
    many : bool
        Whether there are other jobs beside this one.

    Raises
    ------
    JobError
        If this cannot be; names what is allowed.
    """
    named = Path(f"{stem}.{job.output.format}")
    encoding = Encoding.for_quality(job.output.format, job.output.quality)
    if out is None:
        return Destination(named, encoding)
    if out == STANDARD_OUTPUT:
        if many:
            raise JobError("--out: found '-' with more than one job; name a folder, such as out/", code="output.file")
        if sys.stdout.isatty():
            raise JobError(
                "--out: found '-', but standard output is a terminal; name a file, or send it on (-o - | …)",
                code="output.file",
            )
        return Destination(named, encoding, kept=False, to_stdout=True)
    if out in _STANDARD_OUTPUTS:
        raise JobError(f"--out: found {out!r}; a track goes to standard output with -o -", code="output.file")
    if Path(out) == NOWHERE:
        return Destination(named, encoding, kept=False)
    if is_folder(out):
        return Destination(Path(out) / named, encoding)
    if many:
        raise JobError(f"--out: found {out!r} with more than one job; a folder is needed: {out}/", code="output.file")
    ending = Path(out).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        allowed = ", ".join(f".{name}" for name in FORMATS)
        raise JobError(f"--out: found the ending {Path(out).suffix!r}, allowed are {allowed}", code="output.file")
    return Destination(Path(out), Encoding.for_quality(ending, job.output.quality))


def side_file(given: str | None, option: str, name: str, *, many: bool) -> Path | None:
    """Where a job's report or preview goes: the file of the option, or one in its folder."""
    if given is None or Path(given) == NOWHERE:
        return None if given is None else NOWHERE
    if is_folder(given):
        return Path(given) / name
    if many:
        raise JobError(
            f"{option}: found {given!r} with more than one job; a folder is needed: {given}/", code="output.file"
        )
    return Path(given)


def is_folder(name: str) -> bool:
    """Whether a name stands for a folder: it ends in a slash, or it is one."""
    return name.endswith(("/", os.sep)) or os.path.isdir(name)  # noqa: PTH112 - never raises


def make_folder(name: str | None) -> None:
    """Make the folder that an option names, if its parent is there."""
    if name is None or not is_folder(name):
        return
    try:
        Path(name).mkdir(exist_ok=True)
    except OSError as error:
        raise JobError(f"{name}: this folder cannot be made: {in_words(error)}", code="output.folder") from None


def stem_of_title(title: str) -> str:
    """A title as a file's name: without what file systems and shells take amiss; it may be empty."""
    return " ".join(_UNSUITED.sub("-", title).split())[:_LONGEST_STEM].strip(" .-")
