"""Run a command as on a dyno: within so much memory and on so many cores, then say what it took and if it was killed.

    python -m benchmarks.limits --memory-mb 512 --cores 1 -- python -m benchmarks.throughput --jobs 3 --formats mp3

It needs root, util-linux and the memory controller of cgroup v1, whose limits it shows to the command as a container
has them, at /sys/fs/cgroup/memory. Memory is that of all processes below, the benchmark's database too, without the
files that the kernel caches for them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory")
_EVERY_S = 0.1
_LIMIT_S = 4 * 3600
_ENTER = 'echo $$ >"$1"/cgroup.procs && mount --bind "$1" "$2" && cores=$3 && shift 3 && exec taskset -c "$cores" "$@"'


def main() -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    group = _CGROUP / f"mindscript-bench-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(options.memory_mb << 20))
        cores = f"0-{options.cores - 1}"
        shell = ["unshare", "--mount", "sh", "-c", _ENTER, "sh", str(group), str(_CGROUP), cores, *options.command]
        ended = threading.Event()
        peak = [0]
        watching = threading.Thread(target=_watch, args=(group, ended, peak))
        watching.start()
        try:
            status = subprocess.run(shell, check=False, timeout=_LIMIT_S).returncode
        finally:
            ended.set()
            watching.join()
        kills = dict(line.split() for line in (group / "memory.oom_control").read_text().splitlines())["oom_kill"]
    finally:
        with contextlib.suppress(OSError):  # something still runs in it
            group.rmdir()
    size = f"{options.memory_mb} MB and {options.cores} core{'s' if options.cores > 1 else ''}"
    print(f"within {size}: at most {peak[0] / 2**20:.0f} MB, {kills} killed for memory", file=sys.stderr)
    return status


def _watch(group: Path, ended: threading.Event, peak: list[int]) -> None:
    while not ended.wait(_EVERY_S):
        figures = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        peak[0] = max(peak[0], int(figures["total_rss"]) + int(figures["total_shmem"]))


if __name__ == "__main__":
    sys.exit(main())
