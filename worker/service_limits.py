"""How long a job waits for a service that it asks, and how often it asks again."""

from __future__ import annotations

from dataclasses import dataclass

from worker.backoff import RetryPolicy

_VOICE_RETRIES = RetryPolicy(failures=4, first_wait_s=0.5, longest_wait_s=8.0)
_STORAGE_RETRIES = RetryPolicy(failures=6)
_FEW_RETRIES = RetryPolicy(failures=3)


@dataclass(frozen=True)
class ServiceLimits:
    """Time limits and retries of speech services, storage and downloads.

    A silence is the time in which not one byte comes.

    Attributes
    ----------
    connect_s : float
        Until there is a connection.
    voice_silence_s : float
    voice_piece_s : float
        For a whole piece of speech, however slowly it arrives.
    voice_retries : RetryPolicy
    storage_silence_s : float
    short_storage_silence_s : float
        The same for what a job can do without, such as its preview.
    storage_retries, short_storage_retries : RetryPolicy
    media_silence_s : float
        For music, recordings and covers.
    media_retries : RetryPolicy
    """

    connect_s: float = 10.0
    voice_silence_s: float = 60.0
    voice_piece_s: float = 180.0
    voice_retries: RetryPolicy = _VOICE_RETRIES
    storage_silence_s: float = 60.0
    short_storage_silence_s: float = 10.0
    storage_retries: RetryPolicy = _STORAGE_RETRIES
    short_storage_retries: RetryPolicy = _FEW_RETRIES
    media_silence_s: float = 30.0
    media_retries: RetryPolicy = _FEW_RETRIES


SERVICE_LIMITS = ServiceLimits()
