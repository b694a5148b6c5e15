"""`mindscript-worker demo`: the main job on the example jobs, with nothing to sign up for."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from worker.commands.render import beside
from worker.config import Config
from worker.encode import Encoding
from worker.errors import JobError
from worker.job import parse_job
from worker.produce import produce
from worker.screen import Row, closing_table, progress_bars
from worker.studio import open_studio


def demo(options: argparse.Namespace, config: Config) -> int:
    """Render every job file of the examples folder into the storage folder, and print what was measured."""
    jobs = sorted(options.examples.glob("*.json"))
    if not jobs:
        raise JobError(f"{options.examples}: there is no job file (*.json) in this folder")
    out = config.storage_dir
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with progress_bars(quiet=options.quiet) as bars:
        waiting = [(path, bars.track(path.stem)) for path in jobs]
        for path, on_progress in waiting:
            rows.append(_rendered(path, out, config, on_progress))
    closing_table(rows)
    return 0
