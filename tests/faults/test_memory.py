"""A worker with its SDKs on a dyno of 512 MB."""

from __future__ import annotations

import time

import psutil
import pytest
from database import row_of
from figures import tell
from standins.queued_jobs import Case, Place, sound
from standins.speech import speech_service
from standins.supabase import supabase_standin

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MOST_MB = 350


@pytest.mark.parametrize("provider", ["openai", "elevenlabs"])
def test_a_worker_that_renders_with_its_sdks_fits_the_smallest_dyno(leased_dsn, tmp_path, provider):
    """Supabase for queue and storage, a cloud voice, music, ten minutes: all processes together, shared pages once."""
    most = 0.0
    with supabase_standin(leased_dsn) as project, speech_service() as speech:
        project.storage.put("background-music", "rain.flac", sound(60, "FLAC"), "audio/flac")
        place = Place(leased_dsn, tmp_path, project, speech)
        job = place.enqueue(Case("ten minutes", {"durationMin": 10, "pauseSec": 5}, provider=provider))
        with place.worker(RENDER_THREADS="2") as worker:
            deadline = time.monotonic() + 300
            while row_of(leased_dsn, job.job_id)["status"] not in ("completed", "failed"):
                assert time.monotonic() < deadline
                most = max(most, _pss_mb(worker.process.pid))
                time.sleep(0.1)
        place.check_delivered(job)
    tell(
        f"memory of a worker that renders ten minutes, {provider}",
        must=f"at most {MOST_MB} MB for all its processes",
        most_mb=round(most),
    )
    assert 100 < most <= MOST_MB


def _pss_mb(pid: int) -> float:
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it ended while we looked
            continue
    return total / 1e6
