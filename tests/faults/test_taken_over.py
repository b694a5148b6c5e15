"""Taken-over decoders, one after the other: what they try, and what they get."""

from __future__ import annotations

from collections import Counter

import pytest
from figures import tell
from standins.taken_over_worker import taken_over

from worker.ffmpeg import landlock

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
STARTS = 50


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_no_decoder_that_was_taken_over_gets_anything(leased_dsn):
    with taken_over(leased_dsn) as worker:
        worker.enqueue(STARTS)
        told = worker.drained(worker.decoder(), timeout_s=800)
    keys = sum(tries.pop("keys") for tries in told)
    results = Counter(result for tries in told for result in tries.values())
    tell(
        f"item 1: a decoder that was taken over, {len(told)} starts of {len(told[0])} tries, as user 10001",
        must="each try refused, no key seen",
        tries=results.total(),
        refused=results["Operation not permitted"] + results["Permission denied"],
        got=results["got"],
        keys_seen=keys,
        landlock=landlock.version(),
    )
    assert len(told) == STARTS
    assert set(results) == {"Operation not permitted", "Permission denied"}
    assert keys == 0
