"""Errors of the operating system in plain words, with the file that a person knows."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

from worker.printable import printable

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "this user's share of the disk is used up",
    errno.EFBIG: "the disk is full, or its files may not get so large",
}
_WORDS = {
    **_FULL,
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk can only be read",
    errno.EISDIR: "this is a folder, a file is needed",
    errno.ENOTDIR: "a part of its path is a file, where a folder is needed",
    errno.EEXIST: "there is a file or folder of this name",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its links lead in a circle",
    errno.EIO: "the disk fails to read or write",
    errno.EMFILE: "this process has too many files open",
    errno.ENFILE: "the machine has too many files open",
    errno.ENXIO: "this is a device or a pipe that nothing is behind",
    errno.ENOTEMPTY: "the folder is not empty",
    errno.EBUSY: "it is in use",
    errno.EADDRINUSE: "it is in use",
    errno.ENOMEM: "the machine's memory is used up",
}
_OURS = re.compile(r"\.?mindscript-(?:[a-z]+-)?\w{8}", re.ASCII)  # of `tempfile.mkdtemp`


def in_words(error: OSError) -> str:
    """What is wrong, without the file."""
    return _WORDS.get(error.errno or 0) or error.strerror or str(error)


def disk_is_full(error: BaseException) -> bool:
    """Whether there is no room to write: on the disk, in a quota, in a limit of the process."""
    return isinstance(error, OSError) and error.errno in _FULL


def with_file(error: OSError) -> str:
    """One line for a person: the file, where the error knows it, and what is wrong."""
    file = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    return f"{printable(_known_to_people(Path(file)), longest=None)}: {in_words(error)}" if file else in_words(error)


def _known_to_people(path: Path) -> str:
    """A file or folder of the user's: of our temporary ones, the folder that they are in."""
    for each in (path, *path.parents):
        if _OURS.fullmatch(each.name):
            if each.parent == Path(tempfile.gettempdir()):
                return f"the temporary folder {each.parent} (TMPDIR)"
            return str(each.parent if path == each else each.parent / path.name)
    return str(path)
