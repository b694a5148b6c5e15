"""`mindscript-worker work` in a process of its own, with shorter timeouts.

A service that does not answer times out after eight seconds, not after a minute, and the worker retries sooner after an
error that an operator must fix. Its job processes find their modules loaded. Nothing else differs from production.
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

from paths import ROOT

from worker.config import Config
from worker.service_limits import ServiceLimits

SILENCE_S = 8.0
LIMITS = ServiceLimits(
    voice_silence_s=SILENCE_S,
    voice_piece_s=2 * SILENCE_S,
    storage_silence_s=SILENCE_S,
    short_storage_silence_s=SILENCE_S / 2,
    media_silence_s=SILENCE_S,
)


@dataclass
class ShortTimeoutWorker:
    """A running worker, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """The events in its log so far."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@contextmanager
def short_timeout_worker(folder: Path, **settings: str) -> Iterator[ShortTimeoutWorker]:
    """Run a worker for the length of a block, then stop it; it must exit with 0."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "standins.short_timeouts"],
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
            yield ShortTimeoutWorker(process, log)
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
    assert process.returncode == 0, log.read_text()


def main() -> int:
    """Run the worker in this process."""
    from worker.backoff import RetryPolicy
    from worker.cli.work import work
    from worker.errors import WorkerError
    from worker.service.heartbeat import WorkerTimings

    timings = WorkerTimings(trouble=RetryPolicy(first_wait_s=1.0, longest_wait_s=1.0, jitter=0.0))
    try:
        config = Config.from_environ().model_copy(update={"service_limits": LIMITS})
        return work(config, drain=False, job="standins.loaded_job:run_job", timings=timings)
    except WorkerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
