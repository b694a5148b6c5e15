"""What a service's refusal means: read from status, code and parameter; the bodies are the services' own."""

from __future__ import annotations

from typing import Any

import pytest

from worker.errors import ConfigurationError, JobError, Kind, TransientError, WorkerError
from worker.queue.claims import Claim, Outcome
from worker.queue.retry import MAX_ATTEMPTS, decide
from worker.tts.service_errors import Asked, PieceTooLongError, TooManyAtOnceError, read_reason, service_error


def openai(message: str, *, code: str | None = None, type: str = "invalid_request_error", param: str | None = None):
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def elevenlabs(status: str, message: str = ""):
    return {"detail": {"status": status, "message": message}}


BILLING = "Rate limit reached. Please try again in 20s. Visit https://platform.openai.com/account/billing for more."
STITCHING = "Providing previous_request_ids is not supported with the 'eleven_v4' model."
GONE = openai("The model `m` does not exist.", code="model_not_found")
NO_URL = openai("Invalid URL (POST /v1/audio/speech)")
NO_MODEL = openai("This model is not available.", param="model")
NO_VOICE = elevenlabs("voice_not_found", "A voice with the voice_id v was not found.")

# provider, status, body, what an answer means where this program or a setting chose voice and model, and where the job
# did
TABLE: list[tuple[str, int, Any, tuple[type[WorkerError], str], tuple[type[WorkerError], str]]] = [
    ("openai", 404, GONE, (ConfigurationError, "voice.model"), (JobError, "voice.model")),
    ("openai", 404, NO_URL, (ConfigurationError, "voice.model"), (JobError, "voice.model")),
    ("openai", 410, openai("It has been shut down."), (ConfigurationError, "voice.model"), (JobError, "voice.model")),
    ("openai", 400, NO_MODEL, (ConfigurationError, "voice.model"), (JobError, "voice.model")),
    ("elevenlabs", 404, NO_VOICE, (ConfigurationError, "voice.unknown"), (JobError, "voice.unknown")),
    *(
        (provider, status, body, (error, code), (error, code))
        for provider, status, body, error, code in (
            ("elevenlabs", 402, elevenlabs("paid_plan_required"), ConfigurationError, "voice.plan"),
            ("elevenlabs", 402, elevenlabs("payment_required"), ConfigurationError, "voice.quota"),
            ("elevenlabs", 401, elevenlabs("quota_exceeded"), ConfigurationError, "voice.quota"),
            ("elevenlabs", 401, elevenlabs("invalid_api_key"), ConfigurationError, "voice.key"),
            ("openai", 429, openai("", code="insufficient_quota"), ConfigurationError, "voice.quota"),
            ("openai", 429, openai(BILLING, code="rate_limit_exceeded"), TransientError, "voice.unavailable"),
            ("elevenlabs", 429, elevenlabs("too_many_concurrent_requests"), TooManyAtOnceError, "voice.full"),
            ("elevenlabs", 429, elevenlabs("system_busy"), TransientError, "voice.unavailable"),
            ("elevenlabs", 400, elevenlabs("max_character_limit_exceeded"), PieceTooLongError, "voice.too_long"),
            ("openai", 400, openai("", code="string_above_max_length"), PieceTooLongError, "voice.too_long"),
            ("openai", 400, openai("The input is too long: 2011 tokens."), PieceTooLongError, "voice.too_long"),
            ("openai", 413, b"<html>too large</html>", PieceTooLongError, "voice.too_long"),
            ("elevenlabs", 403, elevenlabs("output_format_not_allowed"), ConfigurationError, "voice.format"),
            ("openai", 400, openai("no", param="response_format"), ConfigurationError, "voice.format"),
            ("openai", 400, openai("no", param="speed"), ConfigurationError, "voice.request"),
            ("openai", 404, b"<html>404</html>", ConfigurationError, "voice.address"),
            ("elevenlabs", 400, elevenlabs("invalid_ttd_stability"), JobError, "voice.settings"),
            ("elevenlabs", 400, elevenlabs("invalid_voice_settings"), JobError, "voice.settings"),
            ("openai", 400, openai("flagged by the content policy"), JobError, "voice.refused"),
            ("openai", 503, b"", TransientError, "voice.unavailable"),
        )
    ),
]


def meaning(provider: str, status: int, body: Any, *, of_job: bool, **headers: str) -> WorkerError:
    asked = Asked(provider, voice="v", model="m", voice_of_job=of_job, model_of_job=of_job)
    return service_error(asked, "I am calm.", status, read_reason(body), headers)


@pytest.mark.parametrize(("provider", "status", "body", "ours", "the_jobs"), TABLE, ids=lambda value: str(value)[:50])
def test_a_refusal_means_what_the_table_says(provider, status, body, ours, the_jobs):
    for of_job, (error, code) in ((False, ours), (True, the_jobs)):
        found = meaning(provider, status, body, of_job=of_job)
        assert (type(found), found.code) == (error, code)


@pytest.mark.parametrize(("provider", "status", "body"), [row[:3] for row in TABLE], ids=lambda value: str(value)[:50])
def test_what_we_chose_never_fails_a_job(provider, status, body):
    """Only the script and the settings are left, which are the job's own."""
    found = meaning(provider, status, body, of_job=False)
    assert found.kind is not Kind.PERMANENT or found.code in ("voice.refused", "voice.settings")


def test_every_cause_of_a_refusal_is_made_of_names_and_a_code():
    """Names of settings, models and voices, and the code: jobs with the same cause wait for the same thing."""
    for provider, status, body, (kind, code), _ in TABLE:
        found = meaning(provider, status, body, of_job=False)
        if issubclass(kind, ConfigurationError):
            *about, last = found.cause.split("/")
            assert last == code
            assert about, "the code alone would make jobs of all services wait for one"
            assert set(about) <= {
                provider,
                "m",
                "v",
                *(f"{provider.upper()}_{name}" for name in ("API_KEY", "BASE_URL")),
            }


def test_a_link_to_a_billing_page_is_no_missing_credit():
    found = meaning("openai", 429, openai(BILLING, code="rate_limit_exceeded"), of_job=True, **{"Retry-After": "21"})
    assert (found.retry_after_s, "credit" in found.message) == (21, False)


def test_a_wait_for_a_place_is_not_counted_as_an_attempt():
    claim = Claim("id", "token", MAX_ATTEMPTS, None, None, None, 0.0)
    full = meaning("elevenlabs", 429, elevenlabs("too_many_concurrent_requests"), of_job=True, **{"retry-after": "40"})
    decision = decide(claim, full)
    assert (decision.outcome, decision.code, decision.delay_s) == (Outcome.RELEASED, "voice.full", 40)


def test_of_a_refused_context_it_is_read_that_it_is_no_model():
    reason = read_reason(elevenlabs("unsupported_model", STITCHING))
    assert "previous_request_ids" in reason.message
