"""What a worker tells of the causes that parked jobs wait for."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from worker.errors import ConfigurationError, MachineError
from worker.queue.claims import Backlog, Cause
from worker.service.metrics import Metrics
from worker.service.state import ALIVE_S, State

MODEL = Cause("openai/tts-1/voice.model", "the model tts-1 has ended", datetime.now(UTC), 30)
BUCKET = Cause("audio-renders/storage.bucket", "Storage has no bucket 'audio-renders'", datetime.now(UTC), 2)


def state(*causes: Cause) -> State:
    return State("name", "queue", looped_at=time.monotonic(), causes=causes)


def test_a_worker_with_parked_jobs_is_ready_and_says_what_to_fix() -> None:
    one = state(MODEL, BUCKET)
    assert one.ready
    health = one.health()
    assert health.facts["parked"] == {MODEL.name: 30, BUCKET.name: 2}
    assert all(cause.message in health.facts["trouble"] for cause in (MODEL, BUCKET))
    ready = one.readiness()
    assert ready.code is None
    assert ready.facts["trouble"] == health.facts["trouble"]
    assert [(each["code"], each["jobs"], each["stops_this_worker"]) for each in ready.facts["causes"]] == [
        ("voice.model", 30, False),
        ("storage.bucket", 2, False),
    ]
    assert all(datetime.fromisoformat(each["since"]).tzinfo for each in ready.facts["causes"])


def test_a_worker_that_claims_nothing_is_not_ready() -> None:
    one = state(MODEL)
    one.own.meet(MachineError("there is no FFmpeg", code="configuration.ffmpeg"), job_id="1")
    assert not one.ready
    assert str(one.trouble).startswith("there is no FFmpeg; ")
    assert one.readiness().code == "configuration.ffmpeg"
    assert one.readiness().facts["causes"][0]["stops_this_worker"]
    assert state().trouble is None


def test_a_code_says_that_it_stops_or_hangs() -> None:
    one = state()
    one.stopping = True
    assert (one.health().code, one.readiness().code) == (None, "stopping")
    one.stopping = False
    one.looped_at -= ALIVE_S
    assert (one.health().code, one.readiness().code) == ("hangs", "hangs")


def test_the_gauge_of_causes_counts_this_worker_among_those_that_wait() -> None:
    one = state(BUCKET)
    one.own.meet(ConfigurationError("the database refused us", code="configuration.credentials"))
    assert waiting(one) == {BUCKET.name: 2.0, "configuration.credentials": 1.0}


def waiting(one: State) -> dict[str, float]:
    lines = re.findall(r'^mindscript_waiting_for_operator{cause="(.*)"} (.*)$', Metrics(one).text().decode(), re.M)
    return {name: float(number) for name, number in lines}


def test_the_gauges_of_the_queue_are_there_once_it_was_counted() -> None:
    one = state()
    assert "mindscript_queue_orders{" not in Metrics(one).text().decode()
    one.backlog = Backlog(pending=7, processing=2, parked=30, oldest_s=12.5)
    text = Metrics(one).text().decode()
    found = dict(re.findall(r'^mindscript_queue_orders{status="(.*)"} (.*)$', text, re.M))
    assert found == {"pending": "7.0", "processing": "2.0", "parked": "30.0"}
    assert "mindscript_queue_oldest_seconds 12.5" in text


def test_the_gauge_has_a_line_for_each_cause_and_none_for_a_gone_one() -> None:
    one = state(MODEL, BUCKET)
    assert waiting(one) == {MODEL.name: 30.0, BUCKET.name: 2.0}
    one.causes = (BUCKET,)
    assert waiting(one) == {BUCKET.name: 2.0}
