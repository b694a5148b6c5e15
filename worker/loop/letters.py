"""When a letter is written: to the owner of a finished track, to the operators when an order has failed."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from worker.config import Config
from worker.loop.loop import Watch
from worker.loop.running import Ended
from worker.mail import notify_failed, notify_ready


class Letters(Watch):
    """Writes each in a thread of its own: the post never holds up a job.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def ended(self, ended: Ended) -> None:
        """Write, if there is something to say."""
        if ended.outcome in ("completed", "failed", "poison"):
            threading.Thread(target=self._write, args=(ended,), name="letter").start()

    def _write(self, ended: Ended) -> None:
        claim = ended.claim
        if ended.outcome == "completed":
            notify_ready(
                self._config,
                job_id=claim.job_id,
                user_id=claim.user_id,
                title=_text(ended.summary, "title"),
                duration_s=_number(ended.summary, "duration_s"),
                preview_url=_text(ended.summary, "preview_url"),
            )
            return
        notify_failed(
            self._config,
            job_id=claim.job_id,
            code="poison" if ended.outcome == "poison" else getattr(ended.error, "code", "error"),
            message=str(ended.error or ""),
            attempts=claim.attempt,
            track_id=claim.track_id,
            user_id=claim.user_id,
        )


def _text(summary: Mapping[str, object], name: str) -> str | None:
    value = summary.get(name)
    return value if isinstance(value, str) else None


def _number(summary: Mapping[str, object], name: str) -> float | None:
    value = summary.get(name)
    return value if isinstance(value, float) else None
