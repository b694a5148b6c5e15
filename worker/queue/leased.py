"""Leased mode: the database has the worker's own functions, each fenced by the claim's token."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal

from loguru import logger

from worker.errors import TransientError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, Claim, ClaimStatus, Rescued
from worker.queue.retry import APOLOGY, MAX_ATTEMPTS, MAX_CRASHES
from worker.queue.transport import Row, Transport


class LeasedMode:
    """Rows with leases; all times are the database's.

    Parameters
    ----------
    transport : Transport
    worker_name : str
        Written to `claimed_by`.
    lease_s : float
        How long a claim holds without a heartbeat.
    """

    def __init__(self, transport: Transport, *, worker_name: str, lease_s: float) -> None:
        self.name: Literal["leased", "plain"] = "leased"
        self._transport = transport
        self._worker_name = worker_name
        self._lease_s = lease_s
        # Tokens of claims whose answer was lost: such a claim may have worked, so the next one repeats it.
        self._unanswered: list[str] = []

    def claim(self) -> Claim | None:
        token = self._unanswered.pop() if self._unanswered else str(uuid.uuid4())
        arguments = {
            "p_token": token,
            "p_worker": self._worker_name,
            "p_lease_s": self._lease_s,
            "p_payload_limit_bytes": PAYLOAD_LIMIT_BYTES,
        }
        try:
            row = self._transport.scalar("worker_claim", arguments)
        except TransientError:
            self._unanswered.append(token)
            raise
        if not row:
            return None
        return Claim(
            job_id=row["job_id"],
            token=token,
            attempt=row["attempt"],
            track_id=row["track_id"],
            user_id=row["user_id"],
            payload_text=row["payload_text"],
            payload_bytes=row["payload_bytes"],
            waited_s=float(row["waited_s"]),
            crashes=row["crashes"],
            last_error_code=row["last_error_code"],
        )

    def track_row(self, claim: Claim) -> Row | None:
        row: Row | None = self._transport.scalar("worker_track", _fence(claim))
        return row

    def catalogue(self, claim: Claim, reference: str) -> str | None:
        url: str | None = self._transport.scalar("worker_catalogue", {**_fence(claim), "p_reference": reference})
        return url

    def may_speak(self, claim: Claim, characters: int, limit: int) -> bool:
        asked = {**_fence(claim), "p_characters": characters, "p_limit": limit}
        return bool(self._transport.scalar("worker_may_speak", asked))

    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus:
        return self._ask("worker_heartbeat", claim, p_lease_s=self._lease_s, p_progress=progress, p_stage=stage)

    def claim_status(self, claim: Claim) -> ClaimStatus:
        return self._ask("worker_standing", claim)

    def release(self, claim: Claim, *, code: str, delay_s: float) -> ClaimStatus:
        return self._ask("worker_release", claim, p_code=code, p_delay_s=delay_s)

    def retry(self, claim: Claim, *, code: str, delay_s: float, crashed: bool) -> ClaimStatus:
        return self._ask("worker_retry", claim, p_code=code, p_delay_s=delay_s, p_crashed=crashed)

    def fail(self, claim: Claim, *, code: str, message: str, crashed: bool) -> ClaimStatus:
        return self._ask("worker_fail", claim, p_code=code, p_error=message, p_crashed=crashed)

    def finish(self, claim: Claim, *, result: Mapping[str, Any], track: Mapping[str, Any]) -> ClaimStatus:
        return self._ask("worker_finish", claim, p_result=dict(result), p_track=dict(track))

    @property
    def parked(self) -> int:
        """No job: a job that waits is `pending` in the table, with its time."""
        return 0

    def rescue(self) -> Rescued:
        limits = {"p_max_crashes": MAX_CRASHES, "p_max_attempts": MAX_ATTEMPTS, "p_error": APOLOGY}
        answer = self._transport.scalar("worker_rescue", limits)
        for row in answer.get("refused", ()):
            logger.bind(event="rescue.refused", job=row["id"], sqlstate=row["sqlstate"]).error(
                "job {}: its row cannot be put back or given up ({}); look at the app's triggers on audio_job_queue",
                row["id"],
                row["sqlstate"],
            )
        return Rescued(tuple(answer["put_back"]), tuple(answer["given_up"]))

    def close(self) -> None:
        """Does nothing: all state is in the database."""

    def _ask(self, function: str, claim: Claim, **arguments: Any) -> ClaimStatus:
        return ClaimStatus(self._transport.scalar(function, {**_fence(claim), **arguments}))


def _fence(claim: Claim) -> dict[str, Any]:
    return {"p_job_id": claim.job_id, "p_token": claim.token}
