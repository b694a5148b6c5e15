"""The files that an FFmpeg may open, as rules of Landlock (landlock(7)): for any user, since Linux 5.13.

They are its program, the shared libraries of the system, two devices, and the input that it is given by a descriptor.
Nothing below /proc is among them, nothing that can be written to, and no TCP port.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from worker.ffmpeg.system_calls import system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the numbers of the system calls, on every architecture
_GET_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1, 4, 8
# What rules can be made of, by the version of Landlock; a right that is handled and not given is refused.
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
_TCP, _TCP_SINCE = 0b11, 4  # to bind and to connect
_SCOPES, _SCOPES_SINCE = 0b11, 6  # abstract sockets of others, signals to others
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/urandom")
_MOST_INTERPRETERS = 4
_ELF_INTERPRETER = 3
_FOUND_IN_BYTES = 1 << 16


def version() -> int:
    """The version of Landlock's interface that the kernel offers; 0 for none."""
    try:
        return max(0, system_call(_CREATE_RULESET, 0, 0, _GET_VERSION))
    except OSError:
        return 0


def restrict_this_thread(program: Path, descriptors: Sequence[int], library_path: str) -> None:
    """Let this thread, and what it starts, open nothing but what `program` needs and the files of `descriptors`.

    It must have no_new_privs already. `library_path`: LD_LIBRARY_PATH, as `program` gets it.

    Raises `OSError` if the kernel refuses.
    """
    offered = version()
    rights = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= offered)]
    attributes = struct.pack("<Q", rights)
    if offered >= _TCP_SINCE:
        attributes += struct.pack("<Q", _TCP)
    if offered >= _SCOPES_SINCE:
        attributes += struct.pack("<Q", _SCOPES)
    ruleset = system_call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        chain = _programs(program)
        for path in chain:
            _allow(ruleset, path, _READ_FILE | _EXECUTE)
        # Where it is a script, its interpreter looks for its modules.
        of_folders = _READ_FILE | (_READ_DIR if _head(program).startswith(b"#!") else 0)
        beside = (path.parent.parent / "lib" for path in chain)
        elsewhere = map(Path, filter(None, library_path.split(":")))
        for folder in dict.fromkeys((*map(Path, _LIBRARIES), *beside, *elsewhere)):
            _allow(ruleset, folder, of_folders)
        for name in _FILES:
            _allow(ruleset, Path(name), _READ_FILE)
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # of memory alone, which needs no rule
                _add_rule(ruleset, descriptor, _READ_FILE)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    try:
        _add_rule(ruleset, descriptor, rights)
    finally:
        os.close(descriptor)


def _add_rule(ruleset: int, descriptor: int, rights: int) -> None:
    system_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, descriptor), 0)


@functools.cache
def _programs(program: Path) -> tuple[Path, ...]:
    """A program and what it is started by: the system's loader, or a script's interpreter and that one's loader."""
    chain = [program.resolve()]
    while len(chain) < _MOST_INTERPRETERS and (above := _interpreter(chain[-1])) is not None:
        chain.append(above)
    return tuple(chain)


def _interpreter(program: Path) -> Path | None:
    head = _head(program)
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n")[0].split()
        return Path(os.fsdecode(words[0])).resolve() if words else None
    if not head.startswith(b"\x7fELF\x02\x01"):
        return None
    with contextlib.suppress(struct.error):
        first, size, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
        for at in range(first, first + size * count, size):
            kind, _, offset = struct.unpack_from("<IIQ", head, at)
            if kind == _ELF_INTERPRETER:
                return Path(os.fsdecode(head[offset:].split(b"\0")[0])).resolve()
    return None


@functools.cache
def _head(program: Path) -> bytes:
    with contextlib.suppress(OSError), program.open("rb") as file:
        return file.read(_FOUND_IN_BYTES)
    return b""
