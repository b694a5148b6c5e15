"""Metrics for Prometheus. Loaded only if there is an HTTP port."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.fallbacks import ANY, VoiceName
from worker.job.process_tree import resident_bytes, session_resident_bytes
from worker.queue.claims import Outcome
from worker.service.observers import JobObserver
from worker.service.runner import JobResult
from worker.service.state import State
from worker.vendors import days_left

_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)


class Metrics(JobObserver):
    """Counts jobs as they end, on a registry of its own; reads `state` at each scrape.

    `voices` are those of the settings; the voices that jobs are spoken by are added.
    """

    def __init__(self, state: State, voices: Iterable[VoiceName] = ()) -> None:
        self._voices = set(voices)
        self._registry = CollectorRegistry()
        self._registry.register(_Gauges(state, self._voices))
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, buckets=_SECONDS, registry=self._registry)
        self._jobs = counter("mindscript_jobs", "Jobs by how they ended", ["outcome"])
        for outcome in ("completed", *Outcome):
            self._jobs.labels(outcome)  # at 0: the first of a kind is an increase, too
        self._seconds = histogram("mindscript_job_seconds", "From claim to end", ["outcome"])
        self._stages = histogram("mindscript_stage_seconds", "Seconds by stage", ["stage"])
        self._waits = histogram("mindscript_queue_wait_seconds", "From when a job was due to its claim")
        self._speech = counter("mindscript_speech_pieces", "Spoken pieces, by where they came from", ["source"])
        labels = ["provider", "model"]
        self._characters = counter("mindscript_speech_characters", "Characters spoken", ["source", *labels])
        self._cents = counter("mindscript_speech_cents", "Estimate of what speech has cost, US cents", labels)
        self._fenced = counter("mindscript_fenced", "Jobs whose claim was lost")

    def ended(self, result: JobResult) -> None:
        """Count a job."""
        self._jobs.labels(result.outcome).inc()
        self._seconds.labels(result.outcome).observe(result.seconds)
        self._waits.observe(result.claim.waited_s)
        if result.outcome == "lost":
            self._fenced.inc()
        stages = result.summary.get("stages")
        if isinstance(stages, dict):
            for stage, seconds in stages.items():
                self._stages.labels(stage).observe(seconds)
        cache = result.summary.get("speech_cache")
        if isinstance(cache, dict):
            self._speech.labels("cache").inc(cache.get("hits", 0))
            self._speech.labels("voice").inc(cache.get("misses", 0))
        speech = result.summary.get("speech")
        if isinstance(speech, dict):
            for use in speech["voices"]:
                labels = (use["provider"], use["model"])
                self._characters.labels("voice", *labels).inc(use["characters_asked"])
                self._characters.labels("cache", *labels).inc(use["characters_cached"])
                self._cents.labels(*labels).inc(use["cents"] or 0.0)
                self._voices.add(VoiceName(*labels, ANY))

    def given_up(self, job_id: str, outcome: str, why: str) -> None:
        """Count a job that no worker had any more."""
        del job_id, why
        self._jobs.labels(outcome).inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    """Figures of the worker's state, read at each scrape."""

    def __init__(self, state: State, voices: Collection[VoiceName]) -> None:
        self._state = state
        self._voices = voices

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        state = self._state
        yield CounterMetricFamily("mindscript_claimed", "Jobs claimed", value=state.claimed)
        yield CounterMetricFamily(
            "mindscript_rescued", "Jobs of dead workers requeued or given up", value=state.rescued
        )
        for name, help_text, value in (
            ("mindscript_listener_up", "1 while NOTIFY is known to arrive", state.listening()),
            ("mindscript_ready", "1 while the next job would be claimed", state.ready),
            ("mindscript_jobs_running", "Running jobs", len(state.running)),
            ("mindscript_loop_age_seconds", "Since the loop last ran", state.age_s),
        ):
            yield GaugeMetricFamily(name, help_text, value=float(value))
        yield from _waiting(state)
        days = GaugeMetricFamily("mindscript_voice_days_left", "Days until a model ends", labels=["provider", "model"])
        left: dict[tuple[str, str], int] = {}
        for voice in tuple(self._voices):
            if (known := days_left(voice)) is not None:
                labels = (voice.provider, voice.model)
                left[labels] = min(known, left.get(labels, known))
        for labels, known in left.items():
            days.add_metric(labels, float(known))
        yield days
        resident = GaugeMetricFamily("mindscript_resident_bytes", "Resident memory", labels=["of"])
        resident.add_metric(["worker"], resident_bytes(os.getpid()))
        sessions = [job.session for job in list(state.running) if job.session is not None]
        resident.add_metric(["jobs"], sum(session_resident_bytes(session) for session in sessions))
        yield resident


def _waiting(state: State) -> Iterator[GaugeMetricFamily]:
    """What the queue holds, and what an operator must fix."""
    fix = GaugeMetricFamily("mindscript_waiting_for_operator", "Jobs that wait for an operator", labels=["cause"])
    jobs = {cause.name: float(cause.jobs) for cause in state.causes}
    jobs |= {cause.name: 1.0 for cause in state.own.causes}  # this worker itself waits, with all jobs that it could do
    for name, number in jobs.items():
        fix.add_metric([name], number)
    yield fix
    orders = GaugeMetricFamily("mindscript_queue_orders", "Jobs that have not ended", labels=["status"])
    oldest = GaugeMetricFamily("mindscript_queue_oldest_seconds", "For how long the oldest job has been due")
    backlog = state.backlog
    if backlog is not None:
        for status in ("pending", "processing", "parked"):
            orders.add_metric([status], float(getattr(backlog, status)))
        oldest.add_metric([], backlog.oldest_s)
    yield orders
    yield oldest
