"""Leased mode: the database has the worker's own functions, each fenced by the claim's token."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Literal

from loguru import logger

from worker.errors import TransientError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES, AttemptReport, Cause, Claim, ClaimStatus, Rescued
from worker.queue.leased_operations import LeasedOperations
from worker.queue.retry import APOLOGY, MAX_ATTEMPTS, MAX_CRASHES, TOO_LATE, Action, Decision
from worker.queue.service import LEASE_S, Queue
from worker.queue.transport import Row, Transport

_CLAIM_FIELDS = [field.name for field in fields(Claim) if field.name not in ("token", "parked_since")]


class LeasedQueue(LeasedOperations, Queue):
    """Rows with leases; all times are the database's.

    `worker_name` is written to `claimed_by`. A claim holds for `lease_s` without a heartbeat. In the `order` fifo the
    oldest job is claimed first, in fair one whose track is short need not wait behind long ones.
    """

    mode = "leased"

    def __init__(
        self,
        transport: Transport,
        *,
        worker_name: str,
        lease_s: float = LEASE_S,
        order: Literal["fair", "fifo"] = "fair",
        **options: Any,
    ) -> None:
        super().__init__(transport, **options)
        self._order = order
        self._worker_name = worker_name
        self._lease_s = lease_s
        # The tokens of a process begin alike: `worker_rescue` tells by that which jobs one death has ended together.
        self._process = uuid.uuid4().hex[:16]
        # Tokens of claims whose answer was lost: such a claim may have worked, so the next one repeats it.
        self._unanswered: list[str] = []

    def claim(self) -> Claim | None:
        token = self._unanswered.pop() if self._unanswered else str(uuid.UUID(self._process + uuid.uuid4().hex[16:]))
        arguments = {
            "p_token": token,
            "p_worker": self._worker_name,
            "p_lease_s": self._lease_s,
            "p_payload_limit_bytes": PAYLOAD_LIMIT_BYTES,
            "p_order": self._order,
        }
        try:
            row = self._transport.scalar("worker_claim", arguments)
        except TransientError:
            self._unanswered.append(token)
            raise
        return Claim(token=token, **{name: row[name] for name in _CLAIM_FIELDS}) if row else None

    def track_row(self, claim: Claim) -> Row | None:
        row: Row | None = self._call("worker_track", claim)
        return row

    def catalogue(self, claim: Claim, reference: str) -> str | None:
        url: str | None = self._call("worker_catalogue", claim, p_reference=reference)
        return url

    def _may_speak(self, claim: Claim, characters: int, limit: int) -> bool:
        return bool(self._call("worker_may_speak", claim, p_characters=characters, p_limit=limit))

    def heartbeat(self, claim: Claim, *, progress: int, stage: str | None) -> ClaimStatus:
        lease_s = self._lease_s
        return ClaimStatus(self._call("worker_heartbeat", claim, p_lease_s=lease_s, p_progress=progress, p_stage=stage))

    def claim_status(self, claim: Claim) -> ClaimStatus:
        return ClaimStatus(self._call("worker_standing", claim))

    def write_decision(self, claim: Claim, decision: Decision, report: AttemptReport | None = None) -> ClaimStatus:
        if decision.action is Action.NOTHING:
            return self._end(claim, "cancel", {}, decision.outcome, report)
        arguments: dict[str, Any] = {"p_code": decision.code}
        if decision.action is Action.FAIL:
            arguments["p_error"] = decision.message
        else:
            arguments["p_delay_s"] = decision.delay_s
        if decision.action is Action.PARK:
            arguments |= {"p_cause": decision.cause, "p_message": decision.message}
        elif decision.action is not Action.RELEASE:
            arguments["p_crashed"] = decision.crashed
        return self._end(claim, decision.action, arguments, decision.outcome, report)

    def write_result(
        self,
        claim: Claim,
        result: Mapping[str, Any],
        track: Mapping[str, Any],
        report: AttemptReport | None = None,
    ) -> ClaimStatus:
        arguments = {"p_result": dict(result), "p_track": dict(track)}
        return self._end(claim, "finish", arguments, "completed", report)

    def _end(
        self, claim: Claim, action: str, arguments: dict[str, Any], outcome: str, report: AttemptReport | None
    ) -> ClaimStatus:
        """End an attempt and note it, in one transaction."""
        kept = {name: value for name, value in asdict(report or AttemptReport()).items() if value}
        answer = self._call(
            "worker_end", claim, p_action=action, p_arguments=arguments, p_outcome=outcome, p_report=kept
        )
        return ClaimStatus(answer)

    def _rescue(self) -> Rescued:
        limits = {"p_max_crashes": MAX_CRASHES, "p_max_attempts": MAX_ATTEMPTS, "p_error": APOLOGY}
        answer = self._transport.scalar("worker_rescue", limits)
        waited = {"p_limit_s": self.retries.parked_limit_s, "p_error": TOO_LATE}
        parked = self._transport.scalar("worker_end_parked", waited)
        for row in (*answer["refused"], *parked["refused"]):
            logger.bind(event="rescue.refused", job=row["id"], sqlstate=row["sqlstate"]).error(
                "job {}: its row cannot be put back or given up ({}); look at the app's triggers on audio_job_queue",
                row["id"],
                row["sqlstate"],
            )
        return Rescued(tuple(answer["put_back"]), tuple(answer["given_up"]), dict(parked["failed"]))

    def take_place(self, claim: Claim, account: str, *, most: int, place: str) -> bool:
        return bool(self._call("worker_take_place", claim, p_account=account, p_most=most, p_place=place))

    def give_place(self, claim: Claim, place: str) -> None:
        self._call("worker_give_place", claim, p_place=place)

    def end_places(self, claim: Claim) -> None:
        """They end with the claim."""

    def depth(self) -> dict[str, int]:
        return dict(self.queue_state().counts)

    def causes(self) -> list[Cause]:
        rows = self._transport.scalar("worker_parked", {})
        return [
            Cause(row["cause"], row["message"], datetime.fromisoformat(row["since"]), int(row["jobs"])) for row in rows
        ]

    def _call(self, function: str, claim: Claim, **arguments: Any) -> Any:
        return self._transport.scalar(function, {"p_job_id": claim.job_id, "p_token": claim.token, **arguments})
