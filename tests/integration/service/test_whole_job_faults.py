"""Whole jobs, each with one fault on its way: real supabase-py, real SDKs, real processes, many jobs a worker.

What passes is waited out and paid once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from database import row_of
from films import film
from request_faults import BROKEN, LARGE, LOCKED, LOST_DATABASE, OFFSET, PIECE, PREVIEW, RAIN, RECORDING, TRACK
from standins.queued_jobs import Case, Placed, ended
from standins.speech import Answer
from tiers import further

BUSY = {"detail": {"status": "too_many_concurrent_requests", "message": "slow down"}}
RATE = {"detail": {"status": "rate_limit_exceeded", "message": "slow down"}}  # a wait for a place is no attempt
PASSING_SPEECH = [
    ("stalled mid-stream", (Answer(kind="stall"),), 1),
    ("429", (Answer(429, BUSY, {"Retry-After": "1"}),), 1),
    ("429 for long", (Answer(429, RATE, {"Retry-After": "900"}),), 2),
    ("500", (Answer(500, b"<html>oops</html>"), Answer(503, {"error": {"message": "overloaded"}})), 1),
    ("no audio at all, twice", (Answer(kind="empty"),) * 2, 2),
]
PASSING_SPEECH_TOO = [
    *PASSING_SPEECH[:-1],
    ("no audio at all", (Answer(kind="empty"),), 1),
    ("a page", (Answer(kind="page"),), 1),
    ("line breaks", (Answer(kind="truncate"),), 1),
    ("slow", (Answer(kind="slow"),), 1),
    ("dripping", (Answer(kind="drip"),), 1),
    ("500s for long", (Answer(502, b""),) * 4, 2),
    ("silence", (Answer(kind="silence"),), 1),
    ("a page that calls itself audio", (Answer(kind="text"),), 1),
]


def spoken_cases() -> Iterator[Case]:
    for number, (name, answers, attempts) in enumerate(PASSING_SPEECH):
        provider = ("openai", "elevenlabs")[number % 2]
        yield Case(f"{provider}: {name}", provider=provider, speech=answers, attempts=attempts)


def all_spoken_cases() -> Iterator[Case]:
    for provider in ("openai", "elevenlabs"):
        for name, answers, attempts in PASSING_SPEECH_TOO:
            yield Case(f"{provider}: {name}", provider=provider, speech=answers, attempts=attempts)
    yield Case("openai: half a file as if whole", provider="openai", speech=(Answer(kind="cut"),) * 2, attempts=2)


@pytest.mark.parametrize(
    "cases",
    [
        *further([spoken_cases]),
        pytest.param(all_spoken_cases, marks=pytest.mark.faults),
    ],
)
def test_a_voice_that_fails_now_and_then_costs_time_but_nothing_twice(place, cases):
    for case in cases():
        place.enqueue(case)
    with place.worker() as worker:
        place.wait(worker, ended)

    def check(job: Placed) -> None:
        assert not place.speech.answers_for[job.pieces[1]], "the fault never happened"
        place.check_delivered(job)
        assert len(job.waits_s) == job.case.attempts - 1
        if job.case.name.endswith("429 for long"):
            assert job.waits_s[0] == pytest.approx(900, abs=5), "the queue must wait as long as it was asked to"
        cache = row_of(place.dsn, job.job_id)["result"]["quality"]["speech_cache"]
        assert cache == ({"hits": 0, "misses": 2} if job.case.attempts == 1 else {"hits": 1, "misses": 1})

    place.each(check)


PASSING_STORAGE = [
    Case("544", faults=({**TRACK, **LOST_DATABASE},)),
    Case("line breaks after it was stored", faults=({**TRACK, "kind": "drop after"},)),
    Case("large: breaks in a piece", LARGE, faults=({**PIECE, **BROKEN},)),
    Case(
        "large: the last answer is lost",
        LARGE,
        faults=({**PIECE, "kind": "meanwhile"}, {**PIECE, "kind": "drop after"}),
    ),
    Case("music: 544", faults=({**RAIN, **LOST_DATABASE},)),
    Case("music: a film, its sound is taken", {"backgroundMusic": {"url": "film.mp4"}}),
]
PASSING_STORAGE_TOO = [
    Case("line breaks within the file", faults=({**TRACK, "kind": "drop within", "after_bytes": 65536},)),
    Case("423", faults=({**TRACK, **LOCKED},)),
    Case("a gateway's page", faults=({**TRACK, "kind": "answer", "status": 502, "body": b"<html>Bad Gateway</html>"},)),
    Case("429", faults=({**TRACK, "kind": "answer", "status": 429, "headers": {"Retry-After": "1"}},)),
    Case("line breaks before the answer", faults=({**TRACK, "kind": "drop"},)),
    Case("says nothing", faults=({**TRACK, "kind": "stall", "seconds": 12.0},)),
    Case(
        "preview: 544, then its answer is lost",
        faults=({**PREVIEW, **LOST_DATABASE}, {**PREVIEW, "kind": "drop after"}),
    ),
    Case("large: 544 and 423", LARGE, faults=tuple({**PIECE, "kind": "answer", "status": n} for n in (544, 423))),
    Case("large: forgotten", LARGE, faults=({**PIECE, **BROKEN}, {**OFFSET, "kind": "answer", "status": 404})),
    Case("large: the first answer is lost", LARGE, faults=({**TRACK, "kind": "drop after"},)),
    Case("large: says nothing", LARGE, faults=({**PIECE, "kind": "stall", "seconds": 12.0},)),
    Case("music: breaks off", faults=({**RAIN, "kind": "truncate", "after_bytes": 1000},)),
    Case("voice: says nothing", faults=({**RECORDING, "kind": "stall", "seconds": 12.0},)),
    Case("voice: 503", faults=({**RECORDING, "kind": "answer", "status": 503},)),
    Case("544 for long", faults=({**TRACK, **LOST_DATABASE, "times": 6},), attempts=2),
    Case("large: 544 for long", LARGE, faults=({**PIECE, **LOST_DATABASE, "times": 6},), attempts=2),
]


@pytest.mark.parametrize(
    "cases",
    [
        *further([PASSING_STORAGE]),
        pytest.param(PASSING_STORAGE_TOO, marks=pytest.mark.faults),
    ],
)
def test_storage_that_fails_now_and_then_costs_time_only(place, cases):
    sound_of_film = film(place.folder, "-f", "lavfi", "-i", "anoisesrc=d=3:a=0.1")
    place.project.storage.put("background-music", "film.mp4", sound_of_film, "video/mp4")
    for case in cases:
        place.enqueue(case)
    with place.worker() as worker:
        place.wait(worker, ended)
    storage = place.project.storage

    def check(job: Placed) -> None:
        assert [fault.kind for fault in job.faults if fault.times] == [], "the fault never happened"
        place.check_delivered(job)
        begun = sum(job.track_id in key for key in storage.begun)
        if job.case.name == "large: breaks in a piece":
            assert begun == 1, "it must go on where it was"
        elif job.case.name == "large: forgotten":
            assert begun == 2

    place.each(check)
    assert set(storage.upserts) == {"false"}
    for (bucket, key), stored in storage.objects.items():
        if bucket in ("audio-renders", "track-previews"):
            assert stored.content_type == ("audio/wav" if key.endswith("wav") else "audio/mpeg")
            assert stored.cache_control == "max-age=31536000"
