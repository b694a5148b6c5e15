"""Starts FFmpeg in a sandbox, since strangers' files may take it over.

It gets no new privileges, a filter of system calls (`seccomp`) and rules of files (`landlock`). All three belong to a
thread and are inherited by what it starts. So a thread of its own puts itself under them, starts the program, and
ends: no code of ours runs between fork and exec, which is not safe beside threads, and no launcher costs its own start.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import gc
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from worker.errors import ResourceError
from worker.ffmpeg import landlock, seccomp
from worker.ffmpeg.system_calls import set_process_option, system_call

Sandbox = Literal["whole", "calls", "none"]
"""How much of it: with the rules of files; without them, since the program needs others; nothing of it."""

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_SPEC_ALLOW = 4  # else kernels before 5.16 slow the program down, to keep secrets from it that it does not have
_CLOSE_RANGE, _CLOSE_RANGE_CLOEXEC, _LAST = 436, 4, 0xFFFFFFFF  # since Linux 5.11; Landlock came with 5.13
_SECCOMP_CALLS = {"x86_64": 317, "aarch64": 277}


@dataclass(frozen=True)
class Held:
    """What of the sandbox holds on this machine.

    Attributes
    ----------
    landlock_version : int
        0: no rules of files hold.
    missing : tuple of str
        What does not hold, and why.
    """

    landlock_version: int
    missing: tuple[str, ...]


Result = TypeVar("Result")


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


_starting = threading.Lock()


def start(
    command: Sequence[str | Path],
    *,
    sandbox: Sandbox,
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
    reads: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in the sandbox, with pipes and in a process group of its own.

    Parameters
    ----------
    stdin, stderr : int
        `subprocess.PIPE` or `subprocess.DEVNULL`.
    reads : sequence of int
        Descriptors that it inherits; it may open their files anew.

    Raises
    ------
    OSError
        If the program cannot be run, as `subprocess.Popen` does.
    ResourceError
        If no thread is left to start it from.
    """
    # Opened out here: in the sandbox nothing can be opened for writing.
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def started(*, close_fds: bool = True) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=null if stdin == subprocess.DEVNULL else stdin,
            stdout=subprocess.PIPE,
            stderr=null if stderr == subprocess.DEVNULL else stderr,
            bufsize=0,
            env=env,
            close_fds=close_fds,
            pass_fds=reads if close_fds else (),
            # A group of its own: a Ctrl-C or SIGTERM to our group is ours to answer.
            process_group=0,
        )

    try:
        if sandbox == "none" or sys.platform != "linux":
            return started()
        program, library_path = Path(command[0]), env.get("LD_LIBRARY_PATH", "")

        def confined() -> subprocess.Popen[bytes]:
            _confined(program, reads, library_path, rules=sandbox == "whole")
            with _alone_inherited(reads) as alone:
                return started(close_fds=not alone)

        return _in_a_thread(confined)
    finally:
        os.close(null)


@functools.cache
def held() -> Held:
    """Find out what of the sandbox holds here, by putting a thread under it."""
    if sys.platform != "linux":
        return Held(0, (f"seccomp and Landlock: {sys.platform} has none",))
    return _in_a_thread(lambda: _confined(Path(sys.executable), (), "", rules=True))


def shortfall(sandbox: Sandbox) -> tuple[str, ...]:
    """What of the sandbox does not hold for a program that starts in so much of it, and why."""
    if sandbox == "whole" or sys.platform != "linux":
        return held().missing
    what = "Landlock" if sandbox == "calls" else "seccomp and Landlock"
    return (*held().missing, f"{what}: this FFmpeg does not start with it; a plain one in /usr/bin does")


@contextlib.contextmanager
def _alone_inherited(reads: Sequence[int]) -> Iterator[bool]:
    """Have the next program inherit these descriptors and no other; False where the kernel is too old for that.

    `subprocess` would close all others one after the other, as many as this process may open: in the sandbox it cannot
    list them. That takes 4 ms for 20,000, and containers often allow a million.
    """
    try:
        system_call(_CLOSE_RANGE, 3, _LAST, _CLOSE_RANGE_CLOEXEC)
    except OSError:
        yield False
        return
    for descriptor in reads:
        os.set_inheritable(descriptor, True)
    try:
        yield True
    finally:
        for descriptor in reads:
            os.set_inheritable(descriptor, False)


def _in_a_thread(act: Callable[[], Result]) -> Result:
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(act())
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            errors.append(error)

    thread = threading.Thread(target=run, name="sandbox")
    # The collector would run other objects' finalizers in this thread, which may do nothing of what they must.
    with _starting:
        collects = gc.isenabled()
        gc.disable()
        try:
            thread.start()
            thread.join()
        except RuntimeError:
            raise ResourceError("no thread is left to start FFmpeg", code="resource.processes") from None
        finally:
            if collects:
                gc.enable()
    if errors:
        raise errors[0]
    return results[0]


def _confined(program: Path, reads: Sequence[int], library_path: str, *, rules: bool) -> Held:
    """Put this thread under the sandbox, as far as there is one."""
    missing = []
    try:
        set_process_option(_PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        missing.append(f"no new privileges: {error.strerror}")
    version = landlock.version() if rules else 0
    if version:
        try:
            landlock.restrict_this_thread(program, reads, library_path)
        except OSError as error:
            version = 0
            missing.append(f"Landlock: {error.strerror}")
    elif rules:
        missing.append("Landlock: not offered by this kernel, or kept back by the container's host")
    try:
        _filter_calls()  # last, since it would refuse the rest
    except OSError as error:
        missing.append(f"seccomp: {error.strerror}")
    return Held(version, tuple(missing))


def _filter_calls() -> None:
    code, machine = seccomp.program(), platform.machine()
    if code is None:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    given = _Filter(len(code) // 8, code)
    try:
        system_call(_SECCOMP_CALLS[machine], _SET_MODE_FILTER, _SPEC_ALLOW, given)
    except OSError:  # Linux before 4.17 does not know that option
        system_call(_SECCOMP_CALLS[machine], _SET_MODE_FILTER, 0, given)
