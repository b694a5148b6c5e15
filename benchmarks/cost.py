"""What one run of a contender costs: wall, CPU and the memory of all its processes together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOK_S = 0.05
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cost:
    """One run.

    Attributes
    ----------
    wall_s, cpu_s : float
        CPU is the user and system time of every process, from the kernel's own book.
    pss_mb, rss_mb : float
        The most that was seen at one moment, added up over the processes; PSS counts shared pages once.
    """

    wall_s: float
    cpu_s: float
    pss_mb: float
    rss_mb: float


def cost_of(
    name: str,
    folder: Path,
    out: Path,
    *,
    threads: int | None = None,
    watch_memory: bool = True,
    timeout_s: float = 3600,
) -> Cost:
    """Run a contender of `benchmarks.peers` in a folder from `benchmarks.material.prepare`.

    Parameters
    ----------
    threads : int, optional
        This project's RENDER_THREADS; by default it takes all cores.
    watch_memory : bool
        To look at the memory of many processes takes a tenth of a core: not while times are compared.

    Raises
    ------
    RuntimeError
        With what the contender said, if it failed or took longer than the timeout.
    """
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")}
    ffmpeg = json.loads((folder / "mix.json").read_text())["ffmpeg"]
    environ = {**kept, "PYTHONPATH": str(_ROOT), "TMPDIR": str(folder), "FFMPEG": ffmpeg}
    if threads is not None:
        environ["RENDER_THREADS"] = str(threads)
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers", name, str(folder), str(out)],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pss = rss = 0
    deadline = time.monotonic() + timeout_s
    try:
        while child.poll() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} took longer than {timeout_s:.0f} s")
            if watch_memory:
                now_pss, now_rss = _memory(child.pid)
                pss, rss = max(pss, now_pss), max(rss, now_rss)
            time.sleep(_LOOK_S)
        said, complained = child.communicate()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if child.returncode:
        raise RuntimeError(f"{name} failed: {complained.strip()}")
    found = json.loads(said)
    return Cost(found["wall_s"], found["cpu_s"], pss / 1e6, rss / 1e6)


def _memory(pid: int) -> tuple[int, int]:
    """PSS and RSS in bytes of all processes below one, which itself only looks on."""
    pss = rss = 0
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return 0, 0
    for process in below:
        try:
            parent = process.parent()
            if parent is not None and parent.cmdline() == process.cmdline():
                continue  # just forked, not yet another program: until then it lives in its parent's memory (vfork)
            full = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended while we looked
            continue
        pss, rss = pss + full.pss, rss + full.rss
    return pss, rss
