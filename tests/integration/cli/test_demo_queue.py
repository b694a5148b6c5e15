"""`demo` by way of its own queue: its tracks, its exit status, and what the queue of a laptop knows of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT


@pytest.mark.further
def test_the_demo_s_jobs_are_in_no_queue_but_its_own(tmp_path: Path) -> None:
    # a folder that anybody may enter: an embedded Postgres that root starts runs as somebody else
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    shutil.copy(ROOT / "examples" / "demo-loop.flac", jobs / "loop.flac")
    (jobs / "broken.flac").write_text("no music")
    for name, music in (("good", "loop.flac"), ("bad", "broken.flac"), ("lost", "gone.flac")):
        (jobs / f"{name}.json").write_text(json.dumps({"durationMin": 0.1, "backgroundMusic": {"url": music}}))
    (jobs / "album").mkdir()
    pair = {"durationMin": 0.05, "tracks": [{"solfeggio": {"hz": 528}}, {"carrierType": "pink"}]}
    (jobs / "album" / "pair.json").write_text(json.dumps(pair))
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_KEY"))}
    done = subprocess.run(
        [sys.executable, "-m", "worker", "demo", "--examples", "jobs"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 1, done.stderr
    assert re.search(r"out/demo/good\.mp3 +0:06\.000", done.stderr)
    assert re.search(r"out/demo/pair/02\.mp3 +0:03\.000", done.stderr)
    assert "error: jobs/bad.json: " in done.stderr
    assert 'error: jobs/lost.json: backgroundMusic.url: found "gone.flac"' in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"demo"}
    assert {path.name for path in (tmp_path / ".mindscript").iterdir()} == {"cache", "demo"}
