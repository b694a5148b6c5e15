"""Which tier each file of tests belongs to; `pytest -m unit` chooses one, and so for the others.

A *unit* test works on memory and files alone: it starts no process, opens no connection, needs no FFmpeg and no
database. That is held: one that does fails (`conftest.py`). Everything that is not in the table is an *integration*
test. `@pytest.mark.integration` on a test of a unit file takes it out of that tier. Faults, soak and orders are chosen
by their own marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

UNIT = frozenset(
    {
        "dsp/test_high_pass.py",
        "dsp/test_limiter.py",
        "dsp/test_loudness.py",
        "dsp/test_noise.py",
        "dsp/test_plan.py",
        "dsp/test_recorded.py",
        "dsp/test_spectrum.py",
        "dsp/test_stretch.py",
        "dsp/test_tones.py",
        "dsp/test_true_peak.py",
        "worker/fetch/test_music.py",
        "worker/test_address.py",
        "worker/test_backoff.py",
        "worker/test_cgroup.py",
        "worker/test_compile.py",
        "worker/test_docs.py",
        "worker/test_job.py",
        "worker/test_job_dialects.py",
        "worker/test_keys.py",
        "worker/test_logs.py",
        "worker/test_media_reference.py",
        "worker/test_payload_docs.py",
        "worker/test_queue_retry.py",
        "worker/test_script.py",
        "worker/test_settings.py",
        "worker/test_storage_local.py",
        "worker/test_track_row.py",
    }
)

ACCEPTANCE = frozenset({"acceptance/test_sound.py"})

DATABASES = frozenset(
    {
        "worker/test_docs_sql.py",
        "worker/test_migrate.py",
        "worker/test_poolers.py",
        "worker/test_production.py",
        "worker/test_production_orders.py",
        "worker/test_queue_faults.py",
        "worker/test_queue_leased.py",
        "worker/test_queue_listen.py",
        "worker/test_queue_machine.py",
        "worker/test_queue_plain.py",
        "worker/test_queue_retry.py",
        "worker/test_queue_security.py",
        "worker/test_servers.py",
        "worker/test_supabase_transport.py",
    }
)
"""Integration tests that `make test-databases` runs on every server."""

OF_THEIR_OWN = frozenset({"faults", "soak", "orders"})
_FORBIDDEN = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "socket.connect", "socket.bind"})
_TESTS = Path(__file__).parent


def tiers_of(path: Path, marks: set[str]) -> set[str]:
    """The marks that a test gets by its file, beside those it has."""
    if marks & OF_THEIR_OWN:
        return set()
    name = path.relative_to(_TESTS).as_posix()
    also = {"databases"} if name in DATABASES else set()
    if name in ACCEPTANCE:
        return {"acceptance"}
    return also | ({"unit"} if name in UNIT and "integration" not in marks else {"integration"})


class Outside:
    """Notes what a unit test does outside of its own process, and forbids it."""

    def __init__(self) -> None:
        self.forbidden = False
        self.did: list[str] = []
        sys.addaudithook(self._note)  # for good: a hook cannot be taken off

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.forbidden and event in _FORBIDDEN:
            self.did.append(f"{event} {arguments[:2]!r:.200}")
            raise RuntimeError(f"a unit test may not do that: {self.did[-1]}")
