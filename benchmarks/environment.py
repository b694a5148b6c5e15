"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from worker.cores import available_cores
from worker.ffmpeg.program import Ffmpeg

_PACKAGES = ("mindscript-audio-worker", "numpy", "scipy", "soundfile", "pydub")


def environment(ffmpeg: Ffmpeg) -> dict[str, str | int | float]:
    """Name the processor, the cores that may be used, the load before the start, and every version that matters."""
    return {
        "cpu": _processor(),
        "cores": available_cores(),
        "load before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "ffmpeg": ffmpeg.version,
        "sox": _answer("sox", "--version") or "missing",
        "commit": _answer("git", "rev-parse", "--short", "HEAD") or "unknown",
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _answer(program: str, *arguments: str) -> str | None:
    if shutil.which(program) is None:
        return None
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip().removeprefix("sox:").strip() if done.returncode == 0 else None
