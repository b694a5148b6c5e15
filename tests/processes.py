"""Processes that tests start, and which of them live."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from worker.job.process import ForkServer

_ROOT = Path(__file__).parent.parent


shared_fork_servers: list[ForkServer] = []


def heed_interrupts() -> None:
    """For `preexec_fn`: a shell has what it starts in the background ignore SIGINT, and so all below that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def children() -> list[psutil.Process]:
    """Living processes of this one and theirs, but for those that the whole test run shares."""
    found = []
    fork_servers = {server.pid for server in shared_fork_servers}
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            shared = (
                child.pid in fork_servers
                or "postgres" in child.name()
                or any(part.endswith("keeper.py") for part in child.cmdline())
            )
            if child.status() != psutil.STATUS_ZOMBIE and not shared:
                found.append(child)
    return found


def drain(folder: Path, *, timeout_s: float = 250.0, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a worker with these settings and no others, in a folder, until the queue is empty."""
    return subprocess.run(
        [sys.executable, "-m", "worker", "work", "--drain"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), "TMPDIR": str(folder), **env},
        check=False,
    )
