"""What a track costs on Heroku, reckoned from the CPU seconds measured here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dyno:
    """A size of the Common Runtime.

    Attributes
    ----------
    cores : float
        Cores that a render can use. Heroku states CPU shares, not cores: on shared sizes this is what an idle
        neighbourhood leaves, so jobs per hour are at most this, and cents per track at least.
    """

    name: str
    dollars_per_month: float
    memory_mb: int
    cores: float
    shared: bool


# List prices as known in early 2026, without a guarantee; look at heroku.com/pricing before relying on them.
# Cores: users' mapping of Heroku's shares to machines (christopher.xyz, 2019, and code402.com, 2020): a Performance-M
# has 2 hardware threads, a Performance-L 8; a shared dyno bursts, we count one core, two for the double share.
DYNOS = (
    Dyno("Basic", 7, 512, 1, True),
    Dyno("Standard-1X", 25, 512, 1, True),
    Dyno("Standard-2X", 50, 1024, 2, True),
    Dyno("Performance-M", 250, 2560, 2, False),
    Dyno("Performance-L", 500, 14336, 8, False),
)
_HOURS_PER_MONTH = 720


@dataclass(frozen=True)
class DynoCost:
    """A dyno that renders without a pause, on cores as fast as the ones measured on."""

    dyno: str
    memory_mb: int
    fits: bool
    jobs_per_hour: float
    cents_per_track: float
    shared: bool


def dyno_costs(cpu_s: float, memory_mb: float) -> list[DynoCost]:
    """Reckon what a job of so many CPU seconds and so much memory costs on each size."""
    found = []
    for dyno in DYNOS:
        jobs = 3600 * dyno.cores / cpu_s
        cents = 100 * dyno.dollars_per_month / _HOURS_PER_MONTH / jobs
        found.append(DynoCost(dyno.name, dyno.memory_mb, memory_mb <= dyno.memory_mb, jobs, cents, dyno.shared))
    return found
