"""What a worker tells of the causes that parked jobs wait for."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from worker.queue.claims import Cause
from worker.service.metrics import Metrics
from worker.service.state import State

MODEL = Cause("openai/tts-1/voice.model", "the model tts-1 has ended", datetime.now(UTC), 30)
BUCKET = Cause("audio-renders/storage.bucket", "Storage has no bucket 'audio-renders'", datetime.now(UTC), 2)


def state(*causes: Cause) -> State:
    return State("name", "queue", looped_at=time.monotonic(), causes=causes)


def test_a_worker_with_parked_jobs_is_ready_and_says_what_to_fix() -> None:
    one = state(MODEL, BUCKET)
    assert one.ready
    health = one.health()
    assert health["parked"] == {MODEL.name: 30, BUCKET.name: 2}
    assert all(cause.message in health["trouble"] for cause in (MODEL, BUCKET))
    assert one.readiness()["trouble"] == health["trouble"]


def test_a_worker_that_claims_nothing_is_not_ready() -> None:
    one = state(MODEL)
    one.own_trouble = "there is no FFmpeg"
    assert not one.ready
    assert str(one.trouble).startswith("there is no FFmpeg; ")
    assert state().trouble is None


def test_the_gauge_has_a_line_for_each_cause_and_none_for_a_gone_one() -> None:
    one = state(MODEL, BUCKET)
    metrics = Metrics(one)
    assert 'mindscript_jobs_parked{cause="openai/tts-1/voice.model"} 30.0' in metrics.text().decode()
    one.causes = (BUCKET,)
    text = metrics.text().decode()
    assert 'mindscript_jobs_parked{cause="audio-renders/storage.bucket"} 2.0' in text
    assert "tts-1" not in text
