"""A decoder that a stranger's file has taken over: it answers as FFmpeg does, and then tries all that it should not.

Only the standard library: `installed` makes it a program of its own, which is started in FFmpeg's place. It can write
nothing, so it says what it has got in a line of its log, as JSON: each try's name, and "got" or why not.
"""

import contextlib
import ctypes
import json
import os
import socket
import stat
import sys
import time
from pathlib import Path

MARK = "tries "
AIMS: dict = {}  # filled in by `installed`
_LIBC = ctypes.CDLL(None, use_errno=True)
_CALLS = {"x86_64": (101, 310, 272, 425), "aarch64": (117, 270, 97, 425)}
_PTRACE, _PROCESS_VM_READV, _UNSHARE, _IO_URING_SETUP = _CALLS[os.uname().machine]
_PTRACE_SEIZE, _PTRACE_DETACH = 0x4206, 17
_NEW_USER = 0x10000000
_MOST_BYTES = 8 << 20


def installed(path: Path, python: Path, aims: dict) -> Path:
    """Write it as a program that any user may run."""
    source = Path(__file__).read_text().replace("AIMS: dict = {}", f"AIMS: dict = {aims!r}", 1)
    path.write_text(f"#!{python} -IS\n{source}")
    path.chmod(0o755)
    return path


def tries(memory_only: bool = False) -> dict:
    """Everything, each as a name and what came of it; `keys` counts those that were seen."""
    seen: set = set()
    parent = AIMS["pids"][0] if AIMS.get("pids") else os.getppid()
    memory = {
        "environment of the parent": lambda: _noted(Path(f"/proc/{parent}/environ").read_bytes(), seen),
        "environment of the rest": lambda: _of_each(_environment, seen),
        "memory of the rest": lambda: _of_each(_memory, seen),
        "process_vm_readv": lambda: _vm_read(parent),
        "ptrace": lambda: _traced(parent),
    }
    others = {
        "TCP": lambda: socket.create_connection(AIMS["address"], 2).close(),
        "UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "a pair of sockets": lambda: [each.close() for each in socket.socketpair()],
        "io_uring": lambda: _call(_IO_URING_SETUP, 1, ctypes.create_string_buffer(256)),
        "a new namespace": lambda: _call(_UNSHARE, _NEW_USER),
        "list of processes": lambda: os.listdir("/proc"),  # noqa: PTH208
        "its own /proc": lambda: Path("/proc/self/status").read_bytes(),
        "/etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "another job's file": lambda: Path(AIMS["private_file"]).read_bytes(),
        "list of the cache": lambda: os.listdir(AIMS["folder"]),  # noqa: PTH208
        "a file of its own": lambda: Path(AIMS["folder"], f"written-{os.getpid()}").write_bytes(b"x"),
        "a change to a file": lambda: Path(AIMS["private_file"]).chmod(0o644),
        "a change to its input": _changed_input,
        "a shell": lambda: _ran("/bin/sh"),
        "a signal to the parent": lambda: os.kill(parent, 0),
        "a limit of the parent": lambda: _limited(parent),
    }
    found = {}
    for name, attempt in (memory if memory_only else {**memory, **others}).items():
        try:
            attempt()
            found[name] = "got"
        except OSError as error:
            found[name] = os.strerror(error.errno) if error.errno else str(error)
        except Exception as error:  # noqa: BLE001 - it is reported
            found[name] = f"{type(error).__name__}: {error}"
    return {**found, "keys": len(seen)}


def _noted(content: bytes, seen: set) -> None:
    seen.update(key for key in AIMS["keys"] if key.encode() in content)


def _of_each(read, seen: set) -> None:
    """From each process that was named, or else from each of this user, whose numbers it may have to guess."""
    pids = AIMS.get("pids") or [os.getppid(), *range(max(1, os.getpid() - 1000), os.getpid())]
    got, refusal = 0, OSError(1, "")
    for pid in pids:
        try:
            if os.stat(f"/proc/{pid}").st_uid == os.getuid():  # noqa: PTH116
                _noted(read(pid), seen)
                got += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            refusal = error
    if not got:
        raise refusal


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def _memory(pid: int) -> bytes:
    found = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory, open(f"/proc/{pid}/maps") as maps:  # noqa: PTH123
        for line in maps:
            if "[heap]" in line or "[stack]" in line:
                first, last = (int(number, 16) for number in line.split()[0].split("-"))
                memory.seek(first)
                found += memory.read(min(last - first, _MOST_BYTES))
    return found


def _call(number: int, *arguments) -> int:
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    answer = _LIBC.syscall(ctypes.c_long(number), *words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


class _Place(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _vm_read(pid: int) -> None:
    """The first bytes of the parent's program; the address is one that any process of it has."""
    buffer = ctypes.create_string_buffer(16)
    ours, theirs = _Place(ctypes.addressof(buffer), 16), _Place(AIMS.get("at", 0x400000), 16)
    try:
        _call(_PROCESS_VM_READV, pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    except OSError as error:
        if error.errno != 14:  # a bad address shows that it was let in
            raise


def _traced(pid: int) -> None:
    _call(_PTRACE, _PTRACE_SEIZE, pid, 0, 0)
    with contextlib.suppress(OSError):
        _call(_PTRACE, _PTRACE_DETACH, pid, 0, 0)


def _changed_input() -> None:
    """Its input is the only regular file among its descriptors that is not its own program."""
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(sys.argv[0])):  # noqa: PTH116
                break
    else:
        raise OSError(9, "no input")
    os.fchmod(descriptor, 0o600)


def _ran(program: str) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(1)
            os.close(2)
            os.execv(program, [program, "-c", "exit 0"])  # noqa: S606
        except OSError as error:
            os.write(writer, bytes([error.errno]))
        os._exit(1)
    os.close(writer)
    os.waitpid(pid, 0)
    refusal = os.read(reader, 1)
    if refusal:
        raise OSError(refusal[0], "")


def _limited(pid: int) -> None:
    import resource

    resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(pid, resource.RLIMIT_CORE))


if __name__ == "__main__":
    if sys.argv[1:] == ["-version"]:
        print("ffmpeg version 9.0\nlibavcodec     63.  1.102 / 63.  1.102")
    elif sys.argv[1:] == ["memory"]:
        print(json.dumps(tries(memory_only=True)))
    else:
        print("[error] " + MARK + json.dumps(tries()), file=sys.stderr, flush=True)
        time.sleep(AIMS.get("stays_s", 0))
        sys.exit(1)
