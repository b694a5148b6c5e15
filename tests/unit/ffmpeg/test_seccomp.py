"""The filter of system calls, run as the kernel's BPF machine would run it, for both architectures."""

from __future__ import annotations

import errno
import platform
import struct

import pytest

from worker.ffmpeg import seccomp

ALLOWED, KILLED, REFUSED, UNKNOWN = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
THREAD, CHILD, NEW_USER = 0x3D0F00, 0x4111, 0x10000000
READ, WRITE, CREATE = 0, 1, 0o100


@pytest.fixture(params=ARCHITECTURES)
def machine(request, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    seccomp.program.cache_clear()
    yield request.param
    seccomp.program.cache_clear()


def answer(machine: str, name: str, *arguments: int, architecture: int | None = None) -> int:
    """What the kernel would do with a call."""
    number = NUMBERS[name][list(ARCHITECTURES).index(machine)]
    words = (list(arguments) + [0] * 6)[:6]
    data = struct.pack("<IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *words)
    code = seccomp.program()
    assert code is not None
    steps = list(struct.iter_unpack("<HBBI", code))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, value = steps[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
            continue
        holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x45: bool(accumulator & value)}[operation]
        at += if_true if holds else if_false


# Of <asm/unistd.h> on each.
NUMBERS = {
    **{"read": (0, 63), "mmap": (9, 222), "futex": (202, 98), "exit_group": (231, 94), "sched_getaffinity": (204, 123)},
    **{"getrandom": (318, 278), "execve": (59, 221), "fstat": (5, 80), "lseek": (8, 62), "pipe2": (293, 59)},
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "ptrace": (101, 117), "kill": (62, 129)},
    **{"process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "bpf": (321, 280)},
    **{"pidfd_getfd": (438, 438), "io_uring_setup": (425, 425), "keyctl": (250, 219), "userfaultfd": (323, 282)},
    **{"mount": (165, 40), "unshare": (272, 97), "setns": (308, 268), "execveat": (322, 281), "tgkill": (234, 131)},
    **{"setsid": (112, 157), "fchmod": (91, 52), "unlinkat": (263, 35), "perf_event_open": (298, 241)},
    **{"clone": (56, 220), "clone3": (435, 435), "openat": (257, 56), "openat2": (437, 437), "prlimit64": (302, 261)},
    **{"fcntl": (72, 25), "ioctl": (16, 29), "setpgid": (109, 154), "newer": (460, 460)},
}
NEEDED = ("read", "mmap", "futex", "exit_group", "sched_getaffinity", "getrandom", "execve", "fstat", "lseek", "pipe2")
NEVER = (
    *("socket", "socketpair", "connect", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
    *("io_uring_setup", "bpf", "keyctl", "userfaultfd", "perf_event_open", "mount", "unshare", "setns", "execveat"),
    *("kill", "tgkill", "setsid", "fchmod", "unlinkat"),
)


@pytest.mark.parametrize("name", NEEDED)
def test_what_ffmpeg_needs_is_allowed(machine, name):
    assert answer(machine, name) == ALLOWED


@pytest.mark.parametrize("name", NEVER)
def test_what_it_never_needs_is_refused(machine, name):
    assert answer(machine, name) == REFUSED


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (THREAD,), ALLOWED),
        ("clone", (CHILD,), ALLOWED),
        ("clone", (NEW_USER | CHILD,), REFUSED),
        ("clone3", (), UNKNOWN),
        ("openat", (0, 0, READ), ALLOWED),
        ("openat", (0, 0, WRITE), REFUSED),
        ("openat", (0, 0, CREATE), REFUSED),
        ("openat2", (), UNKNOWN),
        ("prlimit64", (0, 3, 0, 0x7FFF1234), ALLOWED),
        ("prlimit64", (0, 3, 0x7FFF1234, 0), REFUSED),
        ("setpgid", (0, 0), ALLOWED),
        ("setpgid", (77, 0), REFUSED),
        ("fcntl", (1, 1), ALLOWED),
        ("fcntl", (1, 8, 77), REFUSED),
        ("ioctl", (0, 0x5401), ALLOWED),
        ("ioctl", (0, 0x5412), REFUSED),
        ("newer", (), UNKNOWN),
    ],
)
def test_an_argument_decides_where_it_must(machine, name, arguments, expected):
    assert answer(machine, name, *arguments) == expected


def test_calls_of_another_architecture_end_the_program(machine):
    assert answer(machine, "read", architecture=0x40000003) == KILLED


def test_another_machine_has_no_filter(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    seccomp.program.cache_clear()
    assert seccomp.program() is None
    seccomp.program.cache_clear()
