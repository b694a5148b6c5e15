"""Files that a command writes: checked before the work, made out of sight, and given their names at the end.

Nothing of the user's is written over: never a file that the command reads, and no other file without `--force`.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.env_file import settings_file
from worker.errors import JobError
from worker.os_errors import in_words

NOWHERE = Path(os.devnull)
PICTURE_ENDINGS = (".png",)
REPORT_ENDINGS = (".json",)
_STREAMS = ("-", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2")


@dataclass(frozen=True)
class Output:
    """A file to write.

    Parameters
    ----------
    option : str
        What names it, for messages: ``--report``, or words.
    path : Path
        The null device stands for a file that nobody wants.
    endings : collection of str
        Those that it may have, in lower case; any where there is none.
    job : str
        Whose file it is, where there are several jobs.
    """

    option: str
    path: Path
    endings: Collection[str] = ()
    job: str = ""


class Overwrite:
    """Which files that exist may be replaced: with `force` all, else those that this process itself has written."""

    def __init__(self, *, force: bool = False) -> None:
        self._force = force
        self._written: dict[Path, tuple[int, ...]] = {}

    def allows(self, path: Path) -> bool:
        """Whether this file may be replaced as it is now: one that somebody has changed meanwhile is theirs."""
        return self._force or self._written.get(path.absolute()) == _state(path)

    def wrote(self, path: Path) -> None:
        """Remember a file that was written just now."""
        self._written[path.absolute()] = _state(path)


def check_outputs(outputs: Iterable[Output], inputs: Iterable[Path], overwrite: Overwrite) -> None:
    """Refuse what cannot be written, what is read, what exists, and two files of one name.

    Parameters
    ----------
    inputs : iterable of Path
        Files that are read; those that are not there do not matter.

    Raises
    ------
    JobError
        Names the option and the file.
    """
    for _, fault in output_faults(outputs, inputs, overwrite):
        raise fault


def output_faults(
    outputs: Iterable[Output], inputs: Iterable[Path], overwrite: Overwrite
) -> Iterator[tuple[Output, JobError]]:
    """Give everything for which `check_outputs` would refuse."""
    # `.env` is never a track, whether it is read or not
    settings = {Path(".env"), settings_file(os.environ) or NOWHERE} - {NOWHERE}
    read = [state for path in (*inputs, *settings) if (state := _found(path)) is not None]
    taken: dict[Path, Output] = {}
    for output in outputs:
        path = output.path
        if path == NOWHERE:
            continue
        fault = _fault(output, read, overwrite)
        if fault is None:
            place = Path(os.path.realpath(path.parent)) / path.name
            other = taken.setdefault(place, output)
            if other is not output:
                whose = f"{other.option} of {other.job}" if other.job else other.option
                fault = f"{path} is what {whose} names, too"
        if fault is not None:
            yield output, JobError(f"{output.option}: {fault}", code="output.file")


def _fault(output: Output, read: Collection[os.stat_result], overwrite: Overwrite) -> str | None:
    path = output.path
    if str(path) in _STREAMS:
        return f"found {str(path)!r}, a file is needed; only a track goes to standard output, with -o -"
    try:
        os.lstat(path)
        exists = True
    except FileNotFoundError:
        exists = False
    except NotADirectoryError:
        return f"{path}: {path.parent} is no folder"
    except OSError as error:
        return f"{path}: {in_words(error)}"
    except ValueError:  # a zero byte
        return f"no file can have the name {str(path)!r}"
    found = _found(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        return f"{path} is a folder, a file is needed"
    if found is not None and not stat.S_ISREG(found.st_mode):
        return f"{path} is a device or a pipe, a file is needed"
    if output.endings and path.suffix.lower() not in output.endings:
        return f"found the ending {path.suffix!r}, allowed are {', '.join(output.endings)}"
    if found is not None and any(os.path.samestat(found, each) for each in read):
        return f"{path} is read here, and would be lost; give another name"
    if not path.parent.is_dir():
        return f"{path}: there is no folder {path.parent}"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path}: no file can be made in the folder {path.parent}"
    if exists and not overwrite.allows(path):
        return f"{path} exists; give another name, or --force to replace it"
    return None


@contextmanager
def staged(paths: Iterable[Path], overwrite: Overwrite) -> Iterator[Callable[[Path], Path]]:
    """Make files out of sight, and give all of them their names when the block is done.

    Yields what tells, for each of the paths, where to write; names are kept, and what shares a folder stays in one.
    What the block has not written is left out. Where anything fails, and where another program has made a file of such
    a name meanwhile, none appears.

    Raises
    ------
    JobError
        If a file exists now that must not be replaced.
    """
    with ExitStack() as stack:
        folders: dict[Path, Path] = {}
        made: dict[Path, Path] = {}
        for path in paths:
            parent = Path(tempfile.gettempdir()) if path == NOWHERE else path.parent
            if parent not in folders:
                folder = tempfile.TemporaryDirectory(prefix=".mindscript-", dir=parent)
                folders[parent] = Path(stack.enter_context(folder))
            made[path] = folders[parent] / path.name
        yield made.__getitem__
        _publish([(file, path) for path, file in made.items() if path != NOWHERE and file.exists()], overwrite)


def _publish(files: Sequence[tuple[Path, Path]], overwrite: Overwrite) -> None:
    """Give each file its name, or, where that cannot be, take away the new names again."""
    new: list[Path] = []
    try:
        for file, path in files:
            if overwrite.allows(path):
                file.replace(path)
            else:
                _name_new(file, path)
                new.append(path)
            overwrite.wrote(path)
    except FileExistsError:
        _remove(new)
        raise JobError(
            f"{path} has been made by another program meanwhile, so nothing was written; --force replaces it",
            code="output.file",
        ) from None
    except BaseException:
        _remove(new)
        raise


def _name_new(file: Path, path: Path) -> None:
    """Rename a file, but never over another one."""
    try:
        os.link(file, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        path.open("xb").close()
        try:
            file.replace(path)
        except BaseException:
            path.unlink()
            raise


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _found(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _state(path: Path) -> tuple[int, ...]:
    """What tells a file from others and from what it was before; a missing file has the empty one."""
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
