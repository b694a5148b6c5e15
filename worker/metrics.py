"""What Prometheus is told. Loaded only when there is a port to ask at."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from worker.loop import State, Watch
from worker.running import Ended

_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)


class Metrics(Watch):
    """Counts jobs as they end, on a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._jobs = Counter("mindscript_jobs_total", "Jobs by how they ended", ["outcome"], registry=self._registry)
        self._seconds = Histogram(
            "mindscript_job_seconds",
            "From claim to end",
            ["outcome"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "mindscript_stage_seconds", "Seconds by stage", ["stage"], buckets=_SECONDS, registry=self._registry
        )
        self._waits = Histogram(
            "mindscript_queue_wait_seconds",
            "From when an order was due to its claim",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._speech = Counter(
            "mindscript_speech_pieces_total",
            "Spoken pieces, by where they came from",
            ["source"],
            registry=self._registry,
        )
        self._rescued = Gauge("mindscript_rescued", "Orders of dead workers put back", registry=self._registry)
        self._fenced = Counter(
            "mindscript_fenced_total", "Ends that were refused: the job was not ours any more", registry=self._registry
        )
        self._listening = Gauge("mindscript_listener_up", "1 while NOTIFY is known to arrive", registry=self._registry)
        self._running = Gauge("mindscript_jobs_running", "Jobs under way", registry=self._registry)
        self._age = Gauge("mindscript_loop_age_seconds", "Since the loop last went round", registry=self._registry)
        self._rss = Gauge("mindscript_resident_bytes", "Resident memory of the worker itself", registry=self._registry)

    def ended(self, ended: Ended) -> None:
        """Count a job."""
        super().ended(ended)
        self._jobs.labels(ended.outcome).inc()
        self._seconds.labels(ended.outcome).observe(ended.seconds)
        self._waits.observe(ended.claim.waited_s)
        if ended.outcome == "lost":
            self._fenced.inc()
        stages = ended.summary.get("stages")
        if isinstance(stages, dict):
            for stage, seconds in stages.items():
                self._stages.labels(stage).observe(seconds)
        cache = ended.summary.get("speech_cache")
        if isinstance(cache, dict):
            self._speech.labels("cache").inc(cache.get("hits", 0))
            self._speech.labels("voice").inc(cache.get("misses", 0))

    def text(self, state: State) -> bytes:
        """Everything, in Prometheus' text format."""
        self._rescued.set(state.rescued)
        self._listening.set(state.listening())
        self._running.set(len(state.running))
        self._age.set(state.age_s)
        self._rss.set(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
        return generate_latest(self._registry)
