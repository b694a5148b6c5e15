"""Service limits for tests: a retry waits for hundredths of a second."""

from __future__ import annotations

from dataclasses import replace

from worker.backoff import RetryPolicy
from worker.service_limits import ServiceLimits


def quick(failures: int) -> RetryPolicy:
    """Retries that cost a test no time."""
    return RetryPolicy(failures=failures, first_wait_s=0.01, longest_wait_s=0.02)


QUICK = ServiceLimits(voice_retries=quick(3), storage_retries=quick(4), media_retries=quick(3))
"""Silences are as long as in production: no limit that races a loaded machine."""
IMPATIENT = replace(QUICK, voice_silence_s=5.0)
"""For a service that falls silent: the silence is the fact, and its length is waited out."""
