"""`mindscript-worker work`, whole, in a process of its own, but with less patience.

What production bears with for a minute from services that say nothing, this bears with for four seconds, and it looks
again sooner for what an operator must mend; nothing else differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.config import Config
from worker.job.run import Channel, JobInput, JobOutput

SILENCE_S = 4.0
ROOT = Path(__file__).parents[2]


def run_job(order: JobInput, config: Config, channel: Channel, folder: Path) -> JobOutput:
    """Fulfil an order as ever."""
    import httpx

    from worker.job import run as job
    from worker.media import guarded_http
    from worker.storage import supabase_storage
    from worker.tts import cloud_voice

    cloud_voice.READ_S, cloud_voice.PIECE_S = SILENCE_S, 2 * SILENCE_S
    supabase_storage._LIMITS = httpx.Timeout(SILENCE_S)
    supabase_storage._SHORT_LIMITS = httpx.Timeout(SILENCE_S / 2)
    guarded_http._SILENCE_S = SILENCE_S
    return job.run_job(order, config, channel, folder)


@dataclass
class Hurried:
    """A worker that runs, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@contextmanager
def hurried_worker(folder: Path, **settings: str) -> Iterator[Hurried]:
    """A worker for the length of a block, told to stop at its end; it must end with 0."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "standins.hurried"],
            cwd=folder,
            env={
                **inherited,
                "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
                "TMPDIR": str(folder),
                "POLL_INTERVAL_MS": "200",
                "MAX_JOBS_PER_CYCLE": "100",
                "WORKER_CONCURRENCY": "4",
                "RENDER_THREADS": "1",
                **settings,
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Hurried(process, log)
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()
    assert process.returncode == 0, log.read_text()


def main() -> int:
    """Be that process."""
    from worker.cli.work import work
    from worker.errors import WorkerError
    from worker.service import worker as loop

    loop._TROUBLE_S = (1.0, 1.0)
    try:
        return work(Config.from_environ(), drain=False, job="standins.hurried:run_job")
    except WorkerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
