"""Jobs whose end the app's own code refuses, or whose worker dies between the writes of it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from app_database import TRANSPORTS, USER, done, finished, notifications, opened, track_of
from claiming import claimed
from database import Variant, age_row, execute, new_track, rescued_by, row_of
from standins.http_server import serve
from standins.keys import SERVICE_JWT
from standins.postgrest import Postgrest

from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError
from worker.queue.service import ClaimStatus, Outcome, open_queue

_FAILING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '23514'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON audio_job_queue FOR EACH ROW
    WHEN (NEW.status <> 'processing' AND NEW.id = '{}') EXECUTE FUNCTION refuse();
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("leased", [False, True], ids=["plain", "leased"])
def test_a_row_that_cannot_be_ended_never_holds_up_others(made, transport, leased) -> None:
    dsn = made(Variant("lacking", status="enum", leased=leased))
    with opened(dsn, transport) as queue:
        ids = [queue.enqueue({}, track_id=new_track(dsn, USER), user_id=USER) for _ in range(3)]
        claims = [claimed(queue) for _ in ids]
        execute(dsn, _FAILING.format(ids[1]))
        with pytest.raises(ConfigurationError):
            finished(queue, claims[1])
        with pytest.raises(ConfigurationError):
            queue.resolve_failure(claims[1], JobError("bad"))
        assert finished(queue, claims[0]) is ClaimStatus.HELD
        if leased:
            execute(dsn, "UPDATE audio_job_queue SET lease_expires_at = now() WHERE status = 'processing'")
        age_row(dsn, "11 minutes")
        execute(dsn, "ALTER TABLE audio_job_queue ENABLE TRIGGER refuse")
        assert rescued_by(queue) == 1
        statuses = [row_of(dsn, job_id)["status"] for job_id in ids]
        assert statuses == ["completed", "processing", "pending"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("body", "sqlstate"),
    [
        ("PERFORM 'x'::no_such_type;", "42704"),
        ("UPDATE tracks SET no_such_column = 1;", "42703"),
        ("UPDATE no_such_table SET x = 1;", "42P01"),
        ("PERFORM no_such_function();", "42883"),
        ("UPDATE audio_job_queue SET progress = 999;", "23514"),
        ("UPDATE tracks SET user_id = gen_random_uuid();", "23503"),
        ("PERFORM 'x'::int;", "22P02"),
        ("PERFORM 1 / 0;", "22012"),
        ("RAISE EXCEPTION 'no';", "P0001"),
        ("RAISE insufficient_privilege;", "42501"),
        ("", "nothing is raised, and nothing done"),
    ],
)
def test_a_complete_job_that_fails_is_done_without(made, transport, body, sqlstate) -> None:
    dsn = made(Variant())
    execute(
        dsn,
        "CREATE OR REPLACE FUNCTION complete_job(p_job_id uuid, p_result jsonb, p_error text DEFAULT NULL) RETURNS void"
        f" LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body} END $$",
    )
    with opened(dsn, transport) as queue:
        good, bad = (queue.enqueue({}, track_id=new_track(dsn, USER), user_id=USER) for _ in range(2))
        assert finished(queue, claimed(queue)) is ClaimStatus.HELD
        assert queue.resolve_failure(claimed(queue), JobError("bad")) is Outcome.FAILED
    assert (row_of(dsn, good)["status"], row_of(dsn, bad)["status"]) == ("completed", "failed"), sqlstate
    assert row_of(dsn, bad)["error"] == "bad"
    assert len(notifications(dsn)) == 2
    published = execute(dsn, "SELECT count(*) n FROM tracks WHERE status = 'published'")[0]["n"]
    assert published == 1


@pytest.mark.parametrize("complete", ["plain", "lacking", "completing"])
@pytest.mark.parametrize("call", ["rpc/complete_job", "tracks", "audio_job_queue"])
def test_a_worker_that_dies_between_the_writes_is_made_good(made, call, complete) -> None:
    """Over HTTP the end of a job is several calls; after each of them the worker may be gone."""
    dsn = made(Variant(complete))
    track_id = new_track(dsn, USER)
    postgrest = Postgrest(dsn)
    with serve({"/rest/v1": postgrest}) as url:
        config = Config(supabase_url=url, supabase_service_role_key=SERVICE_JWT)
        dying, heir = (open_queue(config, worker_name=name) for name in "ab")
        job_id = dying.enqueue({}, track_id=track_id, user_id=USER)
        claim = claimed(dying)
        result, track = done(claim)
        postgrest.fail_writes_from(call, after=1 if call == "audio_job_queue" else 0)
        with suppress(TransientError):
            dying.finish(claim, result=result, track=track, retry_for_s=0.2)
        postgrest.work_again()
        if row_of(dsn, job_id)["status"] == "processing":
            assert finished(dying, claim) is ClaimStatus.HELD  # it lives, after all
        rescued_by(heir)
        row = row_of(dsn, job_id)
        assert (row["status"], row["stage"]) == ("completed", "Complete")
        assert row["result"] == result
        assert track.items() <= track_of(dsn, track_id).items()
        assert len(notifications(dsn)) == 1
        for queue in (dying, heir):
            queue.close()


def test_repair_takes_no_file_that_the_job_has_not_made(made) -> None:
    """A customer who writes such a row cannot have another's track signed for himself."""
    dsn = made(Variant())
    track_id = new_track(dsn, USER)
    forged = (
        '{"audioUrl": "audio-renders/tracks/other/other-1.mp3", "worker": {"track":'
        ' {"audio_url": "audio-renders/tracks/other/other-1.mp3", "status": "published", "user_id": "x"}}}'
    )
    execute(
        dsn,
        "INSERT INTO audio_job_queue (track_id, user_id, status, stage, result)"
        " VALUES (%s, %s, 'completed', 'Finalizing', %s)",
        track_id,
        USER,
        forged,
    )
    with opened(dsn, "postgres") as queue:
        rescued_by(queue)
    track = track_of(dsn, track_id)
    assert (track["audio_url"], track["status"]) == (None, "draft")
