"""`mindscript-worker doctor`: what keeps keys, files and network from a decoder that a stranger's file took over."""

from __future__ import annotations

import os
from collections.abc import Iterator

from worker.cli.doctor_finding import Finding
from worker.config import SECRETS, Config
from worker.errors import WorkerError
from worker.ffmpeg.program import find_ffmpeg
from worker.ffmpeg.sandbox import held, shortfall
from worker.private_memory import is_private, shown_environments


def examine_sandbox(config: Config) -> Iterator[Finding]:
    """Say which guards of the kernel hold here, and which do not and why."""
    try:
        missing = shortfall(find_ffmpeg(config.ffmpeg).sandbox)
    except WorkerError as error:
        missing = (error.message,)
    holds = (
        f"FFmpeg has no sockets, no new privileges (seccomp), its own files only (Landlock {held().landlock_version})"
    )
    yield Finding("sandbox", None if missing else True, "; ".join(missing) or holds)
    if not is_private():
        yield Finding("secrets", None, "other programs of this user can read the worker's memory: not Linux")
    elif os.geteuid() == 0:
        yield Finding("secrets", None, "runs as root, whose programs can read all memory; take an ordinary user")
    elif shown := shown_environments(frozenset(name.upper() for name in SECRETS)):
        says = f"programs of this user can read keys in the environment of process {', '.join(shown)}"
        yield Finding("secrets", None, says)
    else:
        yield Finding("secrets", True, "no program of this user can read the worker's (not dumpable), or finds a key")
