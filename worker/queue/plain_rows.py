"""Plain mode's row of a claim: whether it is still the claim's, what is written to it, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loguru import logger

from worker.errors import TransientError
from worker.queue.claims import Claim, ClaimStatus
from worker.queue.plain_dialect import Dialect
from worker.queue.transport import TABLE, StatementRefusedError, Transport, moment


class ClaimedRows:
    """Writes rows under the fence: every claim has a `started_at` of its own."""

    def __init__(self, transport: Transport, dialect: Dialect) -> None:
        self._transport = transport
        self._dialect = dialect
        self._refusals: set[str] = set()  # SQLSTATEs of complete_job that have been logged

    def own(self, claim: Claim) -> dict[str, Any]:
        """What the row of a claim has while it is the claim's."""
        own = {"id": claim.job_id, "status": "processing"}
        return {**own, "started_at": claim.token} if claim.token else own

    def status(self, claim: Claim) -> tuple[str, ClaimStatus]:
        """The row's own status, empty where the row is not the claim's any more; and what that says of the claim."""
        rows = self._transport.select(TABLE, ["status", "started_at"], where={"id": claim.job_id}, limit=1)
        if not rows:
            return "", ClaimStatus.LOST
        status, started = str(rows[0]["status"]), moment(rows[0]["started_at"])
        same = not claim.token or (started is not None and started == moment(claim.token))
        if status == "cancelled":
            return status, ClaimStatus.CANCELLED
        return status if same else "", ClaimStatus.HELD if same and status == "processing" else ClaimStatus.LOST

    def end(self, where: Mapping[str, Any], status: str, *, result: dict[str, Any] | None, error: str | None) -> None:
        """End a row with `complete_job`, or with an update where that function fails.

        Some databases have a `complete_job` that needs types or columns which they lack.
        """
        values = dict(zip(self._dialect.complete, (where["id"], result, error), strict=True))
        try:
            with self._transport.atomically():
                self._transport.scalar("complete_job", values)
        except StatementRefusedError as refused:
            if refused.sqlstate not in self._refusals:
                self._refusals.add(refused.sqlstate)
                logger.bind(event="complete_job.refused", sqlstate=refused.sqlstate).warning(
                    "complete_job fails in this database: {}; jobs are ended by an update of their rows instead",
                    refused.message,
                )
        else:
            rows = self._transport.select(TABLE, ["status"], where={"id": where["id"]}, limit=1)
            if rows and str(rows[0]["status"]) == status:
                return
        ended: dict[str, Any] = {"status": status, "result": result, "error": error, "completed_at": "now"}
        if status == "completed":
            ended["progress"] = 100
        if not self._transport.update(TABLE, ended, where=where):
            raise TransientError(
                f"job {where['id']} could not be ended: its row has changed meanwhile", code="database"
            )

    def update(self, claim: Claim, values: Mapping[str, Any]) -> ClaimStatus:
        """Write to the row while it is the claim's."""
        updated = self._transport.update(TABLE, values, where=self.own(claim))
        return ClaimStatus.HELD if updated else self.status(claim)[1]
