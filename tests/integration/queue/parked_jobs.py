"""A queue whose jobs meet what an operator must fix, and whose time a test moves on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.errors import ConfigurationError
from worker.queue.service import Claim, ClaimStatus, Outcome, Queue


def ended_model(model: str = "tts-1") -> ConfigurationError:
    return ConfigurationError(f"{model} has ended", code="voice.model", about=("openai", model))


@dataclass
class Harness:
    """A queue whose time a test moves on."""

    dsn: str
    queue: Queue
    pass_time: Callable[[float], None]
    ids: list[str] = field(default_factory=list)

    def claimed(self) -> Claim:
        claim = self.queue.claim()
        assert claim is not None
        return claim

    def park(self, count: int = 1, error: ConfigurationError | None = None) -> list[str]:
        """Enqueue jobs, claim each and have it meet something that must be fixed."""
        ids = [self.queue.enqueue({"n": n}) for n in range(count)]
        for job_id in ids:
            claim = self.claimed()
            assert claim.job_id == job_id
            assert self.meets(claim, error)
        self.ids += ids
        return ids

    def meets(self, claim: Claim, error: ConfigurationError | None = None) -> bool:
        return self.queue.resolve_failure(claim, error or ended_model()) is Outcome.PARKED

    def jobs(self) -> dict[str, int]:
        return {cause.name: cause.jobs for cause in self.queue.causes()}

    def finish(self, claim: Claim) -> None:
        assert self.queue.finish(claim, result={}, track={}) is ClaimStatus.HELD

    def all_claims(self) -> list[str]:
        ids = []
        while (claim := self.queue.claim()) is not None:
            ids.append(claim.job_id)
        return ids
