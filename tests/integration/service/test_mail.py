"""E-mails: who gets one, what is in it, that it is sent once, and that its failures fail no job."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from database import execute
from loguru import logger
from pydantic import SecretStr
from standins.http_server import Response, as_json, serve
from standins.keys import ANON_JWT, OPAQUE_KEY, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_JWT, USER_JWT
from standins.mail import RESEND_KEY, Auth, Resend
from standins.postgrest import SERVICE_KEY

from worker.backoff import RetryPolicy
from worker.config import Config
from worker.errors import MediaError
from worker.queue.claims import Cause, Claim
from worker.queue.retry import MAX_CRASHES
from worker.queue.service import open_queue
from worker.service.email import Email, cause_email, failed_email, ready_email
from worker.service.notifications import EmailNotifier
from worker.service.runner import JobResult
from worker.service.worker import Worker

USER = "0b0e7a1e-6d3f-4a54-9d53-0f3b1b1a9b11"


@dataclass
class Post:
    """The stand-ins, and a config that points to them."""

    resend: Resend
    auth: Auth
    config: Config

    def with_(self, **changes: object) -> Config:
        return self.config.model_copy(update=changes)


@pytest.fixture
def post() -> Iterator[Post]:
    resend, auth = Resend(), Auth({USER: "ada@example.com"})
    with serve({"/auth/v1": auth, "/resend": resend}) as url:
        config = Config.from_environ(
            {
                "SUPABASE_URL": url,
                "SUPABASE_SERVICE_ROLE_KEY": SERVICE_KEY,
                "RESEND_API_KEY": RESEND_KEY,
                "RESEND_FROM": "MindScript <tracks@example.com>",
                "RESEND_API_URL": f"{url}/resend",
                "OPS_EMAIL": "ops@example.com",
                "APP_URL": "https://app.example.com/library",
            }
        )
        yield Post(resend, auth, config)


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="DEBUG")
    yield lines
    logger.remove(sink)


class AtOnce(EmailNotifier):
    """Sends in the caller's thread, and keeps what came of it."""

    def _start(self, about: str, write: Callable[[], Email | None]) -> None:
        self.sent = self._send(about, write)


def notified(config: Config, result: JobResult, *, request_s: float = 8.0) -> bool:
    policy = RetryPolicy(failures=3, first_wait_s=0.01, longest_wait_s=0.02)
    notifier = AtOnce(config, lambda _: None, request_s=request_s, retry_policy=policy)
    notifier.sent = False
    notifier.ended(result)
    return notifier.sent


def ready(config: Config, *, job_id: str, user_id: str | None, **summary: object) -> bool:
    return notified(
        config, JobResult(Claim(job_id, "token", 1, None, user_id, None, 0.0), "completed", None, summary, 1.0)
    )


def without_music(config: Config, *, job_id: str, message: str, track_id: str | None = None) -> bool:
    claim = Claim(job_id, "token", 1, track_id, None, None, 0.0)
    return notified(config, JobResult(claim, "completed", None, {"without_music": message}, 1.0))


def failed(
    config: Config,
    *,
    track_id: str | None = None,
    user_id: str | None = None,
    attempts: int = 1,
    request_s: float = 8.0,
) -> bool:
    claim = Claim("j1", "token", attempts, track_id, user_id, None, 0.0)
    error = MediaError("music: gone", code="media.missing")
    return notified(config, JobResult(claim, "failed", error, {}, 1.0), request_s=request_s)


def test_the_owner_gets_an_email(post: Post) -> None:
    assert ready(
        post.config,
        job_id="j1",
        user_id=USER,
        title="Calm mornings",
        duration_s=600.0,
        preview_url="https://ref.supabase.co/storage/v1/object/public/track-previews/t/j.mp3",
    )
    (email,) = post.resend.sent
    assert email["to"] == ["ada@example.com"]
    assert email["from"] == "MindScript <tracks@example.com>"
    assert email["subject"] == "Your track is ready"
    for body in (email["text"], email["html"]):
        assert "Calm mornings" in body
        assert "10 minutes" in body
        assert "https://app.example.com/library" in body
        assert "track-previews/t/j.mp3" in body
    assert post.auth.asked == [f"/admin/users/{USER}"]


@pytest.mark.parametrize("key", [SERVICE_JWT, SECRET_KEY, OPAQUE_KEY])
def test_every_kind_of_key_finds_the_owner(post: Post, key: str) -> None:
    assert ready(post.with_(supabase_service_role_key=SecretStr(key)), job_id="j1", user_id=USER)
    assert post.resend.sent[0]["to"] == ["ada@example.com"]


@pytest.mark.parametrize("key", [ANON_JWT, PUBLISHABLE_KEY, USER_JWT, "eyJ.wrong.key"])
def test_a_key_that_may_not_look_up_users_is_named_in_the_log(post: Post, log: list[str], key: str) -> None:
    assert ready(post.with_(supabase_service_role_key=SecretStr(key)), job_id="j1", user_id=USER) is False
    assert any("SUPABASE_SERVICE_ROLE_KEY" in line for line in log)
    assert not any(key in line for line in log)


def test_the_operators_get_an_email_about_missing_music(post: Post) -> None:
    for _ in range(2):
        assert without_music(
            post.config, job_id="j1", message="music: background-music/<b>gone.mp3 does not exist\n", track_id="t1"
        )
    (email,) = post.resend.sent
    assert email["to"] == ["ops@example.com"]
    assert "j1" in email["subject"]
    for body in (email["text"], email["html"]):
        assert "t1" in body
        assert "gone.mp3 does not exist" in body
    assert "<b>" not in email["html"]
    assert without_music(post.with_(ops_email=None), job_id="j2", message="x") is False


def test_the_operators_get_an_email_about_a_failure(post: Post) -> None:
    assert failed(post.config, track_id="t1", user_id=USER, attempts=5)
    (email,) = post.resend.sent
    assert email["to"] == ["ops@example.com"]
    for fact in ("j1", "t1", USER, "media.missing", "music: gone", "5"):
        assert fact in email["text"]
        assert fact in email["html"]


def test_each_email_is_sent_once_for_a_job(post: Post) -> None:
    for _ in range(3):
        assert ready(post.config, job_id="j1", user_id=USER)
        assert failed(post.config)
    assert sorted(email["key"] for email in post.resend.sent) == ["job-failed/j1", "track-ready/j1"]
    ready(post.config, job_id="j2", user_id=USER)
    assert len(post.resend.sent) == 3


def test_the_operators_get_an_email_for_each_cause_and_its_end(post: Post) -> None:
    """From every worker the same, and so once."""
    cause = Cause("OPENAI_API_KEY/voice.key", "check OPENAI_API_KEY", datetime.now(UTC), 30)
    for jobs in (30, 31):
        notifier = AtOnce(post.config, lambda _: None)
        notifier.must_be_fixed(replace(cause, jobs=jobs))
        notifier.fixed(replace(cause, jobs=jobs))
        assert notifier.sent
    waits, go_on = post.resend.sent
    assert waits["to"] == go_on["to"] == ["ops@example.com"]
    assert waits["subject"] == "Jobs wait: voice.key"
    assert go_on["subject"] == "Jobs go on: voice.key"
    assert "OPENAI_API_KEY/voice.key" in waits["text"]
    assert "check OPENAI_API_KEY" in waits["text"]


def test_a_lost_answer_sends_no_second_email(post: Post) -> None:
    post.resend.lose_answers = 1
    assert ready(post.config, job_id="j1", user_id=USER)
    assert post.resend.asked == 2
    assert len(post.resend.sent) == 1


def test_titles_and_messages_are_escaped() -> None:
    title = "<script>alert('x')</script> & \"more\"\r\nBcc: all@example.com"
    email = ready_email(
        "a@example.com",
        job_id="j",
        summary={"title": title, "duration_s": 30.0, "preview_url": "javascript:alert(1)"},
        app_url='https://app.example.com/?a="><b>',
    )
    assert "<script>" not in email.html
    assert "&lt;script&gt;" in email.html
    assert "javascript:" not in email.html + email.text
    assert '"><b>' not in email.html
    assert "\n" not in email.subject
    assert "\r" not in email.subject
    assert "under a minute" in email.text
    email = failed_email(
        "a", job_id="j", code="<i>", message="<b>x</b>\n" * 500, attempts=1, track_id=None, user_id=None
    )
    assert "<b>" not in email.html
    assert "<i>" not in email.html
    assert len(email.text) < 800


def test_without_configuration_nothing_is_requested(post: Post) -> None:
    for config in (post.with_(resend_api_key=None), post.with_(resend_from=None)):
        assert ready(config, job_id="j", user_id=USER) is False
        assert failed(config) is False
    assert failed(post.with_(ops_email=None)) is False
    assert post.resend.asked == 0
    assert post.auth.asked == []


@pytest.mark.parametrize("user_id", [None, "33d9a3a0-0000-4000-8000-000000000000", "not-a-uuid/../../x"])
def test_an_owner_without_address_gets_no_email(post: Post, user_id: str | None) -> None:
    assert ready(post.config, job_id="j", user_id=user_id) is False
    assert post.resend.asked == 0
    assert all(path == f"/admin/users/{user_id}" for path in post.auth.asked)


def test_a_user_with_a_phone_only_gets_no_email(post: Post) -> None:
    post.auth.users[USER] = None
    assert ready(post.config, job_id="j", user_id=USER) is False


@pytest.mark.parametrize(
    "said",
    [
        {"email_confirmed_at": None, "confirmed_at": None, "last_sign_in_at": None},
        {"email_confirmed_at": None, "phone": "49151", "phone_confirmed_at": "2026-01-01T00:00:05Z"},
        {"email_confirmed_at": None, "invited_at": "2026-01-01T00:00:05Z"},
        {"email_confirmed_at": None, "user_metadata": {"email_verified": True}},
        {"deleted_at": "2026-01-02T00:00:00Z"},
    ],
    ids=["signed up", "phone confirmed", "invited", "claims it", "deleted"],
)
def test_an_address_that_is_not_confirmed_gets_no_email(post: Post, log: list[str], said: dict[str, object]) -> None:
    post.auth.said[USER] = said
    assert ready(post.config, job_id="j", user_id=USER) is False
    assert post.resend.asked == 0
    assert any("no confirmed address" in line for line in log)


def test_no_subject_has_a_word_of_a_strangers() -> None:
    title = "FREE MONEY https://evil.example/x www.evil.example Vol. 2 at 1.5 Hz evil。example"
    email = ready_email("a@example.com", job_id="j", summary={"title": title}, app_url=None)
    assert email.subject == "Your track is ready"
    for body in (email.text, email.html):
        assert "Vol. 2 at 1.5 Hz" in body
        assert "://" not in body
        assert not re.search(r"evil[.。]example", body)
    cause = Cause("openai/tts-1/FREE-MONEY/voice.plan", "x", datetime.now(UTC), 1)
    assert cause_email("a@example.com", cause, is_fixed=False).subject == "Jobs wait: voice.plan"


def test_without_supabase_operators_still_get_emails(post: Post) -> None:
    config = post.with_(supabase_url=None, supabase_service_role_key=None)
    assert ready(config, job_id="j", user_id=USER) is False
    assert failed(config) is True


@pytest.mark.parametrize(
    "answer",
    [
        Resend.refused(429, "rate_limit_exceeded", "Too many requests"),
        Resend.refused(500, "application_error", "An unexpected error occurred"),
        Resend.refused(409, "concurrent_idempotent_requests", "Same idempotency key used while in progress"),
        Response(502, b"<html>", {"Content-Type": "text/html"}),
        Response(0),
    ],
)
def test_transient_errors_are_retried(post: Post, answer: Response) -> None:
    post.resend.next = [answer, answer]
    assert ready(post.config, job_id="j", user_id=USER) is True
    assert len(post.resend.sent) == 1


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (Resend.refused(401, "invalid_api_key", "API key is invalid"), 1),
        (Resend.refused(403, "validation_error", "You can only send to ada@example.com"), 1),
        (Resend.refused(422, "validation_error", "Invalid `to` field: ada@example.com"), 1),
        (Resend.refused(429, "daily_quota_exceeded", "You have reached your daily email quota"), 1),
        (Resend.refused(409, "invalid_idempotent_request", "Different payload"), 1),
        (Resend.refused(503, "application_error", "down"), 3),
        (Resend.refused(429, "rate_limit_exceeded", "slow down", Retry_After="3600"), 1),
        (as_json(200, ["what is this"]), 1),
        (Response(200, b"not json", {"Content-Type": "application/json"}), 3),
        (Response(0), 3),
    ],
)
def test_no_failure_of_resend_is_raised(post: Post, log: list[str], answer: Response, tries: int) -> None:
    post.resend.next = [answer] * 9
    result = ready(post.config, job_id="j", user_id=USER)
    assert post.resend.asked == tries
    assert post.resend.sent == []
    if answer.status != 200 or answer.body != b'["what is this"]':
        assert result is False
        assert any("no e-mail" in line for line in log)
    assert not any("ada@example.com" in line or RESEND_KEY in line or SERVICE_KEY in line for line in log)


@pytest.mark.parametrize(
    "answer",
    [Response(500), Response(0), Response(401, b"{}"), Response(200, b"<html>"), as_json(200, [1])],
)
def test_no_failure_of_auth_is_raised(post: Post, log: list[str], answer: Response) -> None:
    post.auth.next = [answer] * 9
    assert ready(post.config, job_id="j", user_id=USER) is False
    assert post.resend.asked == 0
    assert any("no e-mail" in line for line in log)


def test_an_unreachable_service_is_logged(post: Post, log: list[str]) -> None:
    assert failed(post.with_(resend_api_url="http://127.0.0.1:9")) is False
    assert any("no e-mail" in line for line in log)


def test_a_service_that_stalls_times_out(post: Post) -> None:
    class Slow(Resend):
        def __call__(self, request: object) -> Response:
            time.sleep(0.3)
            return Response(0)

    with serve({"/resend": Slow()}) as url:
        assert failed(post.with_(resend_api_url=f"{url}/resend"), request_s=0.05) is False


def test_the_operators_get_an_email_about_a_poison_job(post: Post, leased_dsn: str) -> None:
    """No worker held it when it was given up: the worker that rescued it sends the e-mail."""
    config = post.with_(database_url=SecretStr(leased_dsn))
    rescuer = open_queue(config, worker_name="rescuer")
    job = rescuer.enqueue({})
    for _ in range(MAX_CRASHES):
        dead = open_queue(config, worker_name="dead", lease_s=0.0)
        execute(leased_dsn, "UPDATE audio_job_queue SET run_after = now()")
        assert dead.claim() is not None
        dead.close()
        worker = Worker(config, rescuer, drain=True, observers=[EmailNotifier(config, rescuer.job)])
        worker._rescue()
    until = time.monotonic() + 90
    while not post.resend.sent:
        assert time.monotonic() < until, "no e-mail"
        time.sleep(0.01)
    (email,) = post.resend.sent
    assert email["to"] == ["ops@example.com"]
    assert email["key"] == f"job-failed/{job}"
    assert "Error: poison" in email["text"]
    assert f"Attempts: {MAX_CRASHES}" in email["text"]
    assert worker.state.outcomes == {"poison": 1}
    rescuer.close()
