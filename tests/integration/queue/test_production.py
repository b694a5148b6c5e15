"""The app's database as it is: what ends a job there, what its triggers, policies and functions make of it.

Every pair of variant, mode, transport and server is run, not every product of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
import pytest
from database import Databases, Variant, age_row, execute, first_version, new_track, payload_of, rescued_by, row_of
from pairs import all_pairs
from servers import server_versions, wanted_versions
from standins.http_server import serve
from standins.keys import ANON_JWT, SECRET_KEY, SERVICE_JWT
from standins.postgrest import Postgrest
from tiers import further

from worker.config import Config
from worker.errors import ConfigurationError, JobError, ShuttingDown, TransientError
from worker.queue.claims import PAYLOAD_LIMIT_BYTES
from worker.queue.service import Claim, ClaimStatus, Outcome, Queue, open_queue

VERSIONS = [version for version in wanted_versions() if version in server_versions()] or [first_version()]
DIMENSIONS: dict[str, list[Any]] = {
    "complete": ["plain", "lacking", "completing"],
    "leased": [False, True],
    "transport": ["postgres", "supabase"],
    "version": VERSIONS,
    "dialect": ["guide", "production"],
    "column": ["payload", "job_data"],
    "status": ["text", "enum"],
    "key": [SERVICE_JWT, SECRET_KEY],
}
COMBINATIONS = all_pairs(DIMENSIONS)
ONE_OF_EACH_WAY = list({(each["leased"], each["transport"]): each for each in COMBINATIONS}.values())
TRANSPORTS = ("postgres", "supabase")
USER, OTHER = (str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("a", "b"))


def named(chosen: object) -> str:
    if not isinstance(chosen, dict):
        return str(chosen)
    words = {**chosen, "leased": "leased" if chosen["leased"] else "plain", "key": chosen["key"][:3]}
    return "-".join(map(str, words.values()))


@contextmanager
def opened(dsn: str, transport: str, key: str = SERVICE_JWT) -> Iterator[Queue]:
    with ExitStack() as stack:
        if transport == "postgres":
            config = Config(database_url=dsn)
        else:
            url = stack.enter_context(serve({"/rest/v1": Postgrest(dsn)}))
            config = Config(supabase_url=url, supabase_service_role_key=key)
        queue = open_queue(config, worker_name="w")
        stack.callback(queue.close)
        yield queue


@pytest.fixture
def server_version(request: pytest.FixtureRequest) -> int:
    chosen = request.node.callspec.params.get("chosen") if hasattr(request.node, "callspec") else None
    return int(chosen["version"]) if chosen else first_version()


@pytest.fixture
def made(databases: Databases) -> Iterator[Any]:
    """Make a database; it is given back afterwards."""
    dsns: list[str] = []

    def make(variant: Variant) -> str:
        dsns.append(databases.new(variant))
        return dsns[-1]

    yield make
    for dsn in dsns:
        databases.release(dsn)


def variant_of(chosen: dict[str, Any]) -> Variant:
    fields = ("complete", "dialect", "column", "status", "leased")
    return Variant(**{name: chosen[name] for name in fields})


def claimed(queue: Queue) -> Claim:
    claim = queue.claim()
    assert claim is not None
    return claim


def done(claim: Claim) -> tuple[dict[str, Any], dict[str, Any]]:
    """A result and the track's columns, as a job's process makes them."""
    path = f"audio-renders/tracks/{claim.track_id}/{claim.job_id}-0123456789abcdef.mp3"
    preview = f"https://x.supabase.co/track-previews/{claim.track_id}/{claim.job_id}-0123456789abcdef.mp3"
    result = {"url": path, "audioUrl": path, "preview_url": preview, "duration": 300, "size": 7_000_000}
    track = {"audio_url": path, "preview_url": preview, "duration_seconds": 300, "status": "published"}
    return result, track


def finished(queue: Queue, claim: Claim) -> ClaimStatus:
    result, track = done(claim)
    return queue.finish(claim, result=result, track=track)


def notifications(dsn: str) -> list[tuple[str, str]]:
    rows = execute(dsn, "SELECT data ->> 'job_id' AS job, type FROM notifications_queue")
    return sorted((row["job"], row["type"]) for row in rows)


def track_of(dsn: str, track_id: str) -> dict[str, Any]:
    return execute(dsn, "SELECT * FROM tracks WHERE id = %s", track_id)[0]


@contextmanager
def customer(dsn: str, user_id: str) -> Iterator[psycopg.Connection]:
    """A signed-in customer, as the app's pages reach the database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET ROLE authenticated")
        connection.execute("SELECT set_config('request.jwt.claim.sub', %s, false)", (user_id,))
        yield connection


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_every_job_ends_once_and_as_the_app_expects(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    tracks = [new_track(dsn, USER) for _ in range(4)]
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        assert (queue.mode == "leased") is chosen["leased"]
        good, again, bad, lost = (queue.enqueue({"n": n}, track_id=t, user_id=USER) for n, t in enumerate(tracks))
        claim = claimed(queue)
        assert (claim.job_id, payload_of(claim), claim.track_id, claim.user_id) == (good, {"n": 0}, tracks[0], USER)
        assert queue.heartbeat(claim, progress=40, stage="Mixing audio layers") is ClaimStatus.HELD
        assert row_of(dsn, good)["stage"] == "Mixing audio layers"
        assert finished(queue, claim) is ClaimStatus.HELD
        assert finished(queue, claim) is ClaimStatus.HELD, "asked again after a lost answer"
        released = claimed(queue)
        assert queue.resolve_failure(released, ShuttingDown()) is Outcome.RELEASED
        claim = claimed(queue)
        assert (claim.job_id, claim.attempt) == (again, 1)
        assert finished(queue, claim) is ClaimStatus.HELD
        assert queue.resolve_failure(claimed(queue), JobError("durationMin: found 999")) is Outcome.FAILED
        claim = claimed(queue)
        execute(dsn, "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s", lost)
        assert finished(queue, claim) is ClaimStatus.CANCELLED
    for job_id, track_id in ((good, tracks[0]), (again, tracks[1])):
        row, track = row_of(dsn, job_id), track_of(dsn, track_id)
        assert (row["status"], row["progress"], row["stage"], row["error"]) == ("completed", 100, "Complete", None)
        assert row["result"]["url"] == row["result"]["audioUrl"] == track["audio_url"]
        assert "worker" not in row["result"]
        assert row["completed_at"] is not None
        assert (track["status"], track["duration_seconds"]) == ("published", 300)
        assert track["preview_url"] == row["result"]["preview_url"]
        assert track["updated_at"] > track["created_at"]
    row = row_of(dsn, bad)
    assert (row["status"], row["error"]) == ("failed", "durationMin: found 999")
    assert track_of(dsn, tracks[2])["status"] in ("draft", "failed")
    assert row_of(dsn, lost)["status"] == "cancelled"
    assert track_of(dsn, tracks[3])["audio_url"] is None
    assert notifications(dsn) == sorted([(good, "job_completed"), (again, "job_completed"), (bad, "job_failed")]), (
        "one for each job that has ended"
    )


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_a_job_overtaken_by_a_younger_one_leaves_the_track(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    ends = {"pending": True, "processing": True, "completed": True, "failed": False, "cancelled": False}
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for status, superseded in ends.items():
            track_id = new_track(dsn, USER)
            job_id = queue.enqueue({}, track_id=track_id, user_id=USER)
            claim = claimed(queue)
            younger = queue.enqueue({}, track_id=track_id, user_id=USER)
            execute(dsn, "UPDATE audio_job_queue SET status = %s WHERE id = %s", status, younger)
            assert finished(queue, claim) is ClaimStatus.HELD
            row, track = row_of(dsn, job_id), track_of(dsn, track_id)
            assert (row["status"], row["stage"]) == ("completed", "Complete")
            assert row["result"].get("superseded", False) is superseded, status
            assert (track["status"] == "published") is not superseded, status
            execute(dsn, "DELETE FROM audio_job_queue")
        others_track = new_track(dsn, USER)
        queue.enqueue({}, track_id=others_track, user_id=USER)
        claim = claimed(queue)
        execute(dsn, "INSERT INTO auth.users (id) VALUES (%s)", OTHER)
        queue.enqueue({}, track_id=others_track, user_id=OTHER)
        assert finished(queue, claim) is ClaimStatus.HELD
        assert track_of(dsn, others_track)["status"] == "published", "another customer's job for it counts for nothing"


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_only_the_customers_own_track_is_read_or_written(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    own, foreign = new_track(dsn, USER), new_track(dsn, OTHER)
    execute(dsn, """UPDATE tracks SET script = 'mine', voice_config = '{"provider": "openai"}'""")
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for track_id in (own, foreign):
            queue.enqueue({}, track_id=track_id, user_id=USER)
        claim = claimed(queue)
        row = queue.track_row(claim)
        assert row is not None
        assert (row["title"], row["script"]) == ("t", "mine")
        assert row["voice_config"] == '{"provider": "openai"}', "customers write it: it stays text"
        assert finished(queue, claim) is ClaimStatus.HELD
        claim = claimed(queue)
        assert queue.track_row(claim) is None
        assert finished(queue, claim) is ClaimStatus.HELD
    assert track_of(dsn, own)["status"] == "published"
    assert track_of(dsn, foreign)["status"] == "draft"


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_the_music_catalogue_is_found_by_id_and_slug(made, chosen) -> None:
    dsn = made(variant_of(chosen))
    known = execute(
        dsn,
        "INSERT INTO background_tracks (slug, url, is_active) VALUES ('rain', 'quiet-rain.mp3', true),"
        " ('old', 'old.mp3', false), ('empty', '', true) RETURNING id",
    )
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        queue.enqueue({})
        claim = claimed(queue)
        assert queue.catalogue(claim, "rain") == "quiet-rain.mp3"
        assert queue.catalogue(claim, str(known[0]["id"])) == "quiet-rain.mp3"
        for unknown in ("old", str(known[1]["id"]), "empty", str(uuid.uuid4()), "x' OR true --", "rain%"):
            assert queue.catalogue(claim, unknown) is None, unknown
        execute(dsn, "DROP TABLE background_tracks")
        assert queue.catalogue(claim, "rain") is None


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("leased", [False, True], ids=["plain", "leased"])
def test_spoken_characters_a_customer_and_day_are_capped(made, transport, leased) -> None:
    dsn = made(Variant(leased=leased))
    with opened(dsn, transport) as queue:
        tracks = [new_track(dsn, USER) for _ in range(4)]
        for number, track_id in enumerate(tracks):
            queue.enqueue({"script": "x" * 400}, track_id=track_id, user_id=USER)
            claim = claimed(queue)
            allowed = queue.may_speak(claim, 400, limit=1000)
            assert allowed is (number < 2), number
            finished(queue, claim)
            if number == 2:  # a day later
                execute(dsn, "UPDATE audio_job_queue SET started_at = now() - interval '25 hours'")
                execute(dsn, "DELETE FROM audio_job_queue WHERE id = %s", claim.job_id)
                queue.enqueue({"script": "x" * 400}, track_id=track_id, user_id=USER)
                claim = claimed(queue)
                assert queue.may_speak(claim, 400, limit=1000)
                finished(queue, claim)
                execute(dsn, "UPDATE audio_job_queue SET started_at = now() WHERE started_at < now() - interval '1 d'")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_attempt_from_the_cache_keeps_the_characters_of_before(made, transport) -> None:
    dsn = made(Variant(leased=True))
    with opened(dsn, transport) as queue:
        queue.enqueue({"script": "x" * 400}, track_id=new_track(dsn, USER), user_id=USER)
        claim = claimed(queue)
        assert queue.may_speak(claim, 400, limit=1000)
        assert queue.may_speak(claim, 100, limit=1000)
        finished(queue, claim)
        queue.enqueue({"script": "x" * 400}, track_id=new_track(dsn, USER), user_id=USER)
        claim = claimed(queue)
        assert not queue.may_speak(claim, 601, limit=1000)
        assert queue.may_speak(claim, 600, limit=1000)
        finished(queue, claim)


# -- payloads

HOSTILE = {
    "nested": "'{\"x\":' || repeat('[', 2000) || repeat(']', 2000) || '}'",
    "digits": "'{\"x\":' || repeat('9', 5000) || '}'",
    "exponent": "'{\"x\": 1e100000}'",
}


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=named)
def test_a_payload_never_stops_the_worker_that_claims_it(made, chosen) -> None:
    """Valid jsonb that Python cannot load, in the payload and in what a customer wrote to `result`."""
    variant = variant_of(chosen)
    dsn = made(variant)
    for text in HOSTILE.values():
        execute(
            dsn, f"INSERT INTO audio_job_queue ({variant.column}, result) VALUES (({text})::jsonb, ({text})::jsonb)"
        )
    forged = '{"worker": {"attempt": -1000000, "crashes": "x", "code": [1]}}'
    execute(dsn, f"INSERT INTO audio_job_queue ({variant.column}, result) VALUES ('{{}}', %s)", forged)
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for _ in HOSTILE:
            claim = claimed(queue)
            assert claim.payload_text
            assert claim.attempt == 1
            assert queue.resolve_failure(claim, JobError("not JSON")) is Outcome.FAILED
        claim = claimed(queue)
        assert (claim.attempt, claim.crashes) == (1, 0)
        execute(dsn, f"UPDATE audio_job_queue SET result = ({HOSTILE['nested']})::jsonb WHERE status = 'processing'")
        age_row(dsn, "11 minutes")
        execute(dsn, "UPDATE audio_job_queue SET started_at = started_at")
        if chosen["leased"]:
            execute(dsn, "UPDATE audio_job_queue SET lease_expires_at = now() WHERE status = 'processing'")
        age_row(dsn, "11 minutes")
        assert rescued_by(queue) == 1
        assert claimed(queue).crashes == 1


@pytest.mark.parametrize("chosen", further(ONE_OF_EACH_WAY, but=ONE_OF_EACH_WAY[:2]), ids=named)
def test_a_payload_over_the_limit_is_not_read(made, chosen) -> None:
    variant = variant_of(chosen)
    dsn = made(variant)
    insert = f"INSERT INTO audio_job_queue ({variant.column}) VALUES (jsonb_build_object('script', {{}})) RETURNING id"
    sizes = {
        "compressed away": "repeat('x', 40000000)",
        "incompressible": "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400000) n)",
        "just over": f"repeat('x', {PAYLOAD_LIMIT_BYTES - 13})",
    }
    large = [str(execute(dsn, insert.format(value))[0]["id"]) for value in sizes.values()]
    fits = str(execute(dsn, insert.format(f"repeat('x', {PAYLOAD_LIMIT_BYTES - 14})"))[0]["id"])
    with opened(dsn, chosen["transport"], chosen["key"]) as queue:
        for job_id in large:
            claim = claimed(queue)
            assert (claim.job_id, claim.payload_text) == (job_id, None)
            assert claim.payload_bytes is not None
            assert claim.payload_bytes > PAYLOAD_LIMIT_BYTES
            if (chosen["leased"] or chosen["transport"] == "postgres") and job_id == large[0]:
                size = execute(
                    dsn, f"SELECT octet_length({variant.column}::text) n FROM audio_job_queue WHERE id = %s", job_id
                )
                assert claim.payload_bytes != size[0]["n"], "its size is known before its text is made"
        claim = claimed(queue)
        assert (claim.job_id, claim.payload_bytes) == (fits, None)
        assert len(claim.payload_text or "") == PAYLOAD_LIMIT_BYTES


def test_a_gateway_that_knows_no_casts_will_do(made) -> None:
    """The values are then read whole, within the limit of every answer; what cannot be read fails its job alone."""
    dsn = made(Variant("lacking", "production", "job_data", "enum"))
    postgrest = Postgrest(dsn)
    postgrest.knows_casts = False
    with serve({"/rest/v1": postgrest}) as url:
        queue = open_queue(Config(supabase_url=url, supabase_service_role_key=SERVICE_JWT), worker_name="w")
        good = queue.enqueue({"n": 1}, track_id=new_track(dsn, USER), user_id=USER)
        claim = claimed(queue)
        assert (claim.job_id, payload_of(claim), claim.attempt) == (good, {"n": 1}, 1)
        assert queue.resolve_failure(claim, ShuttingDown()) is Outcome.RELEASED
        claim = claimed(queue)
        assert (claim.attempt, claim.last_error_code) == (1, "shutdown")
        assert finished(queue, claim) is ClaimStatus.HELD
        assert queue.track_row(claim) is not None
        execute(dsn, f"INSERT INTO audio_job_queue (job_data) VALUES (({HOSTILE['digits']})::jsonb)")
        claim = claimed(queue)
        assert claim.payload_text is None
        assert queue.resolve_failure(claim, JobError("cannot be read")) is Outcome.FAILED
        queue.close()
    assert (
        track_of(dsn, execute(dsn, "SELECT track_id FROM audio_job_queue WHERE id = %s", good)[0]["track_id"])["status"]
        == "published"
    )


# -- customers


@pytest.mark.parametrize("version", VERSIONS)
def test_customers_cannot_write_the_workers_columns(databases, made, version) -> None:
    del version
    dsn = made(Variant("completing", "production", "payload", "enum", leased=True))
    track_id = new_track(dsn, USER)
    forged = {
        "attempt": "-5",
        "crash_count": "-5",
        "release_count": "-5",
        "spoken_characters": "-99999",
        "claim_token": f"'{uuid.uuid4()}'",
        "claimed_by": "'me'",
        "lease_expires_at": "'2099-01-01'",
        "run_after": "'2020-01-01'",
        "error_code": "'x'",
    }
    columns, values = ", ".join(forged), ", ".join(forged.values())
    own = f"SELECT {columns} FROM audio_job_queue WHERE id = %s"
    with opened(dsn, "postgres") as queue:
        clean = execute(dsn, own, queue.enqueue({}))[0]
        with customer(dsn, USER) as page:
            job_id = page.execute(
                f"INSERT INTO audio_job_queue (track_id, user_id, payload, {columns})"
                f" VALUES (%s, %s, '{{}}', {values}) RETURNING id",
                (track_id, USER),
            ).fetchone()[0]
            assert execute(dsn, own, job_id)[0] == clean
            execute(dsn, "DELETE FROM audio_job_queue WHERE id <> %s", job_id)
            for _ in range(3):
                claim = claimed(queue)
                assert queue.resolve_failure(claim, TransientError("down")) is Outcome.RETRIED
                execute(dsn, "UPDATE audio_job_queue SET run_after = NULL")
            claim = claimed(queue)
            assert queue.resolve_failure(claim, JobError("bad")) is Outcome.FAILED
            before = execute(dsn, own, job_id)[0]
            for name, value in forged.items():
                page.execute(f"UPDATE audio_job_queue SET {name} = {value} WHERE id = %s", (job_id,))
            assert execute(dsn, own, job_id)[0] == before
            page.execute("UPDATE audio_job_queue SET status = 'pending' WHERE id = %s", (job_id,))
            assert execute(dsn, own, job_id)[0]["attempt"] == 4, "a customer's own row keeps its attempts"
            claim = claimed(queue)
            assert claim.attempt == 5
            page.execute("UPDATE audio_job_queue SET status = 'pending' WHERE id = %s", (job_id,))
            assert queue.claim_status(claim) is ClaimStatus.LOST, "requeued by its owner while it ran"
        assert queue.resolve_failure(claimed(queue), JobError("bad")) is Outcome.FAILED
        with psycopg.connect(dsn, autocommit=True) as server_side:
            server_side.execute("SET ROLE service_role")
            server_side.execute("UPDATE audio_job_queue SET status = 'pending' WHERE id = %s", (job_id,))
        assert claimed(queue).attempt == 1, "ordered again by the app: five fresh attempts"


def test_a_key_or_role_that_cannot_see_its_rows_is_refused(databases, made) -> None:
    dsn = made(Variant())
    with pytest.raises(ConfigurationError, match="anon"), opened(dsn, "supabase", ANON_JWT):
        pass
    databases.execute("CREATE ROLE half_blind LOGIN")
    try:
        execute(dsn, "GRANT SELECT, UPDATE ON audio_job_queue TO half_blind")
        with opened(dsn, "postgres") as queue:
            job_id = queue.enqueue({})
        with opened(dsn.replace("app_owner@", "half_blind@"), "postgres") as queue:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"row-level security"):
                    queue.claim()
        row = row_of(dsn, job_id)
        assert (row["status"], row["started_at"]) == ("pending", None), "taken back in the same transaction"
    finally:
        execute(dsn, "REVOKE ALL ON audio_job_queue FROM half_blind")
        databases.execute("DROP ROLE half_blind")


def test_over_http_a_row_that_cannot_be_seen_is_the_last_one_taken(made) -> None:
    """A key of an unknown kind that turns out to be bound by row-level security must not take one row after another."""
    dsn = made(Variant())
    with opened(dsn, "supabase", "anon-key-for-tests") as queue:
        execute(dsn, "INSERT INTO audio_job_queue (payload) VALUES ('{}'), ('{}'), ('{}')")
        for _ in range(3):
            with pytest.raises(ConfigurationError, match="row-level security"):
                queue.claim()
    assert execute(dsn, "SELECT count(*) n FROM audio_job_queue WHERE status = 'processing'")[0]["n"] == 1


# -- what the app's own code refuses

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


def test_a_gateway_without_content_range_still_counts(made) -> None:
    dsn = made(Variant(leased=True))
    postgrest = Postgrest(dsn)

    def without(request: Any) -> Any:
        response = postgrest(request)
        headers = {name: value for name, value in response.headers.items() if name != "Content-Range"}
        return type(response)(response.status, response.body, headers)

    with serve({"/rest/v1": without}) as url:
        queue = open_queue(Config(supabase_url=url, supabase_service_role_key=SERVICE_JWT), worker_name="w")
        for _ in range(3):
            queue.enqueue({})
        assert queue.depth()["pending"] == 3
        queue.close()


def test_an_enum_without_cancelled_works(made) -> None:
    for leased in (False, True):
        dsn = made(Variant(status="enum"))
        execute(
            dsn,
            """ALTER TABLE audio_job_queue ALTER status DROP DEFAULT, ALTER status TYPE text;
               DROP TYPE job_status;
               CREATE TYPE job_status AS ENUM ('pending', 'processing', 'completed', 'failed');
               ALTER TABLE audio_job_queue ALTER status TYPE job_status USING status::job_status,
                   ALTER status SET DEFAULT 'pending'""",
        )
        if leased:
            from worker.queue.migrate import migrate

            migrate(dsn)
        with opened(dsn, "postgres") as queue:
            queue.enqueue({})
            assert queue.depth() == {"pending": 1, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0}
            claim = claimed(queue)
            assert queue.claim_status(claim) is ClaimStatus.HELD
            assert finished(queue, claim) is ClaimStatus.HELD
