"""The real worker with a job that does nothing, for `benchmarks.queue`; run as a program it is that worker."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from worker.config import Config
from worker.job.channel import Channel
from worker.job.messages import JobInput, JobOutput


def nothing(job: JobInput, config: Config, tell: Channel, folder: Path) -> JobOutput:
    """Note when it ran."""
    del config, tell, folder
    return JobOutput({"url": job.job_id, "ran_at": time.time()}, {}, {})


if __name__ == "__main__":
    from worker.cli.work import work

    sys.exit(work(Config.from_environ(), drain=False, job="benchmarks.empty:nothing"))
