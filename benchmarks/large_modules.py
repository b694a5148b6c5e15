"""What it takes to load the large modules of jobs: what each job is spared once the fork server has them.

python -m benchmarks.large_modules
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from pathlib import Path

import psutil


def main() -> None:
    """Print seconds of CPU and memory, each time in a new process."""
    from worker.job.large_modules import LARGE_MODULES

    print(f"{'module':<40} {'CPU s':>6} {'MB':>6}")
    for names in (*((name,) for name in LARGE_MODULES), LARGE_MODULES):
        command = [sys.executable, "-m", "benchmarks.large_modules", *names]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=Path.cwd())
        seconds, megabytes = done.stdout.split()
        print(f"{names[0] if len(names) == 1 else 'all':<40} {seconds:>6} {megabytes:>6}")


def load(names: list[str]) -> None:
    """Load modules as a job does, on top of what the fork server has, and print what it took."""
    importlib.import_module("worker.job.preload")
    importlib.import_module("worker.job.main")
    importlib.import_module("worker.job.run")
    process = psutil.Process()
    before = process.memory_full_info().uss
    began = time.process_time()
    for name in names:
        importlib.import_module(name)
    print(f"{time.process_time() - began:.2f} {(process.memory_full_info().uss - before) / 1e6:.1f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        load(sys.argv[1:])
    else:
        main()
