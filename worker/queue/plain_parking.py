"""Plain mode's parked jobs: which wait here for what, and which of them is tried next.

The table has no columns for it, so it is kept in the process. The decisions are those of sql/006_parking.sql.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.queue.claims import Cause, Claim
from worker.queue.retry import PROBE_PAUSES, Decision


@dataclass(frozen=True)
class _Job:
    """A parked job: `number` keeps the order in which jobs were parked first; `due` is when it may be a probe."""

    claim: Claim
    number: int
    due: float = 0.0


@dataclass
class _Parked:
    """The jobs of a cause by id, and when the next one is tried; `probes` met the cause again, one after the other."""

    message: str
    since: datetime
    next_probe_at: float
    probes: int = 0
    probe: _Job | None = None  # that is being done
    jobs: dict[str, _Job] = field(default_factory=dict)


class Parking:
    """Jobs by their cause. Times are of the queue's clock; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._causes: dict[str, _Parked] = {}
        self._numbers = itertools.count()

    def park(self, claim: Claim, decision: Decision, *, now: float, moment: datetime) -> None:
        """Park a job whose attempt has ended so; `moment` is when its cause began, if it is the first."""
        with self._lock:
            before, probe = self._end_probe(claim.job_id)
            first_pause_s = max(PROBE_PAUSES.wait_s(1), decision.delay_s)
            new = _Parked(decision.message, moment, now + first_pause_s)
            parked = self._causes.setdefault(decision.cause, new)
            parked.message = decision.message
            parked.jobs[claim.job_id] = _Job(claim, next(self._numbers) if probe is None else probe.number)
            if before is parked:
                parked.probes += 1
                parked.next_probe_at = now + max(PROBE_PAUSES.wait_s(parked.probes + 1), decision.delay_s)
            elif before is not None:
                self._begin_anew(before, now)

    def take_probe(self, now: float) -> Claim | None:
        """The oldest job of a cause whose pause is over, and of which none is being done."""
        with self._lock:
            for parked in self._causes.values():
                due = [job for job in parked.jobs.values() if job.due <= now]
                if due and parked.next_probe_at <= now and parked.probe is None:
                    parked.probe = parked.jobs.pop(min(due, key=lambda job: job.number).claim.job_id)
                    return parked.probe.claim
        return None

    def probed_cause(self, job_id: str) -> str | None:
        """The cause that a job is a probe of."""
        with self._lock:
            return next((name for name, each in self._causes.items() if _is_probe(each, job_id)), None)

    def return_probe(self, job_id: str) -> None:
        """Take a probe back that was not begun."""
        with self._lock:
            parked, probe = self._end_probe(job_id)
            if parked is not None and probe is not None:
                parked.jobs[job_id] = probe

    def probe_over(self, job_id: str, now: float, *, back: Claim | None = None, due: float = 0.0) -> bool:
        """End a probe that neither met its cause again nor completed; False if the job is none.

        `back`: its claim, where it stays parked and is not tried before `due`.
        """
        with self._lock:
            parked, probe = self._end_probe(job_id)
            if parked is None or probe is None:
                return False
            if back is not None:
                parked.jobs[job_id] = replace(probe, claim=back, due=due)
            self._begin_anew(parked, now)
            return True

    def completed(self, job_id: str) -> list[Claim]:
        """Free the jobs of the cause that a completed job was a probe of; oldest first."""
        with self._lock:
            parked, _ = self._end_probe(job_id)
            if parked is None:
                return []
            self._causes = {name: each for name, each in self._causes.items() if each is not parked}
            return [job.claim for job in sorted(parked.jobs.values(), key=lambda job: job.number)]

    def forget(self, job_id: str) -> None:
        """Let a job go whose row is not ours any more."""
        with self._lock:
            for parked in self._causes.values():
                parked.jobs.pop(job_id, None)
            self._drop_empty()

    def claims(self) -> list[Claim]:
        """All jobs that wait."""
        return [claim for _, claim in self.by_cause()]

    def by_cause(self) -> list[tuple[str, Claim]]:
        """All jobs that wait, each with its cause."""
        with self._lock:
            return [(name, job.claim) for name, parked in self._causes.items() for job in parked.jobs.values()]

    def causes(self) -> list[Cause]:
        """What they wait for, oldest first."""
        with self._lock:
            found = [Cause(name, each.message, each.since, len(each.jobs)) for name, each in self._causes.items()]
        return sorted(found, key=lambda cause: (cause.since, cause.name))

    def _end_probe(self, job_id: str) -> tuple[_Parked | None, _Job | None]:
        for parked in self._causes.values():
            if _is_probe(parked, job_id):
                probe, parked.probe = parked.probe, None
                return parked, probe
        return None, None

    def _begin_anew(self, parked: _Parked, now: float) -> None:
        parked.probes, parked.next_probe_at = 0, now + PROBE_PAUSES.wait_s(1)
        self._drop_empty()

    def _drop_empty(self) -> None:
        self._causes = {name: each for name, each in self._causes.items() if each.jobs or each.probe is not None}


def _is_probe(parked: _Parked, job_id: str) -> bool:
    return parked.probe is not None and parked.probe.claim.job_id == job_id
