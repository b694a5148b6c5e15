"""The jobs that a command names: files, patterns, JSON lines, standard input."""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import JobError
from worker.os_errors import in_words

STANDARD_INPUT = "-"
_LINES_ENDINGS = (".jsonl", ".ndjson")
_LARGEST_BYTES = 64 * 2**20  # of one file, its lines together: a device would never end
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class JobFile:
    """One job as it was named: a file, a line of a file, or standard input.

    Attributes
    ----------
    label : str
        For messages: the file's name as it was given, with ``:3`` for its third line.
    folder : Path
        Where files that the job names are looked for first.
    path : Path or None
        The file; None for standard input.
    line : int or None
        Counted from 1, in a file of JSON lines.
    """

    label: str
    folder: Path
    path: Path | None
    line: int | None = None
    text: bytes = b""
    unreadable: str = ""

    def read(self) -> bytes:
        """Return the job's JSON.

        Raises
        ------
        JobError
            If the file cannot be read; its message does not repeat the label.
        """
        if self.unreadable:
            raise JobError(self.unreadable, code="job.file")
        return self.text

    @property
    def stem(self) -> str:
        """What a track is named after, where nothing else names it."""
        name = "track" if self.path is None else self.path.stem
        return name if self.line is None else f"{name}-{self.line}"


def job_files(names: Sequence[str]) -> list[JobFile]:
    """Find and read every job that these names stand for, in their order; a file that is named twice counts once.

    A name is a job file, a file of JSON lines (``.jsonl``, ``.ndjson``: a job a line), a pattern that no shell has
    expanded, or ``-`` for standard input, which may be either. A file that cannot be read is in the list, too: the
    caller tells of it together with all other mistakes.
    """
    jobs: dict[tuple[str, int | None], JobFile] = {}
    for name in dict.fromkeys(names):
        for job in _jobs_of(name):
            place = STANDARD_INPUT if job.path is None else os.path.realpath(job.path)
            jobs.setdefault((place, job.line), job)
    return list(jobs.values())


def named_paths(names: Sequence[str]) -> set[Path]:
    """The files that these names stand for now, without reading them; standard input is none."""
    return {Path(each) for name in names if name != STANDARD_INPUT for each in _expanded(name) or [name]}


def _jobs_of(name: str) -> Iterable[JobFile]:
    if name == STANDARD_INPUT:
        return _of_standard_input()
    matching = _expanded(name)
    if not matching:
        return [_unreadable(name, Path(name), "no file matches this pattern")]
    return [job for each in matching for job in _of_file(each)]


def _expanded(name: str) -> list[str]:
    """The files that a pattern matches; what exists, and what is no pattern, is itself."""
    if os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    found = glob.glob(name, recursive=True)  # noqa: PTH207 - a name keeps the form in which it was given
    return sorted(each for each in found if Path(each).is_file())


def _of_file(name: str) -> Iterable[JobFile]:
    path = Path(name)
    if os.path.isdir(name):  # noqa: PTH112 - False where pathlib raises, for a name that is too long
        return [_unreadable(name, path, f"this is a folder; name its files: {path / '*.json'}")]
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        return [_unreadable(name, path, in_words(error))]
    except ValueError:  # a name with a zero byte
        return [_unreadable(name, Path(), "no file can have this name")]
    if len(text) > _LARGEST_BYTES:
        return [_unreadable(name, path, f"found more than {_LARGEST_BYTES // 2**20} MB, which is no job")]
    folder = Path(os.path.realpath(path)).parent
    if path.suffix.lower() in _LINES_ENDINGS:
        lines = [JobFile(f"{name}:{number}", folder, path, number, line) for number, line in _lines(text)]
        return lines or [_unreadable(name, path, "there is no line with a job in it")]
    return [JobFile(name, folder, path, None, text.removeprefix(_BOM))]


def _of_standard_input() -> Iterable[JobFile]:
    text, label, folder = sys.stdin.buffer.read(), "standard input", Path.cwd()
    lines = list(_lines(text))
    if len(lines) > 1 and _is_json(lines[0][1]):
        return [JobFile(f"{label}:{number}", folder, None, number, line) for number, line in lines]
    return [JobFile(label, folder, None, None, text.removeprefix(_BOM))]


def _lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines with anything on them, numbered from 1."""
    for number, line in enumerate(text.removeprefix(_BOM).split(b"\n"), start=1):
        if line.strip():
            yield number, line


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _unreadable(name: str, path: Path, why: str) -> JobFile:
    return JobFile(name, path.parent, path, unreadable=why)
