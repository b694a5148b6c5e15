"""The decisions about an attempt that ended in an error, without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import (
    Cancelled,
    ConfigurationError,
    JobError,
    LeaseLost,
    MachineError,
    MediaError,
    QualityError,
    ResourceError,
    ShuttingDown,
    TransientError,
    WorkerError,
)
from worker.queue.claims import Claim, Outcome
from worker.queue.retry import APOLOGY, JOB_RETRIES, MAX_ATTEMPTS, Action, decide


def claim(*, attempt: int = 1, crashes: int = 0, last: str | None = None) -> Claim:
    return Claim("id", "token", attempt, None, None, None, 0.0, crashes=crashes, last_error_code=last)


@pytest.mark.parametrize(("attempt", "longest"), [(1, 5), (2, 10), (3, 20), (4, 40), (8, 640), (9, 900), (60, 900)])
def test_the_wait_doubles_up_to_a_quarter_of_an_hour(attempt: int, longest: float) -> None:
    assert JOB_RETRIES.policy.wait_s(attempt, sample=0.0) == longest / 2
    assert JOB_RETRIES.policy.wait_s(attempt, sample=0.999999) == pytest.approx(longest, rel=1e-5)


@pytest.mark.parametrize("error", [JobError("bad field"), MediaError("not audio")])
def test_permanent_errors_fail_at_once_in_their_own_words(error: WorkerError) -> None:
    decision = decide(claim(), error)
    assert (decision.action, decision.outcome) == (Action.FAIL, Outcome.FAILED)
    assert decision.message == error.message
    assert decision.code == error.code


def test_transient_errors_are_tried_five_times() -> None:
    error = TransientError("secret host down")
    outcomes = [decide(claim(attempt=n), error, jitter=0.5).outcome for n in range(1, MAX_ATTEMPTS + 1)]
    assert outcomes == [Outcome.RETRIED] * 4 + [Outcome.FAILED]
    assert decide(claim(attempt=5), error).message == APOLOGY


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a bug in the worker"),
        TransientError("a bug in the job", code="worker.bug"),
        TransientError("too long", code="job.deadline"),
        TransientError("said nothing", code="job.silent"),
        TransientError("FFmpeg took too long", code="ffmpeg.timeout"),
        QualityError("too quiet"),
    ],
)
def test_bugs_and_timeouts_are_tried_twice(error: Exception) -> None:
    first = decide(claim(), error)
    assert first.outcome is Outcome.RETRIED
    assert decide(claim(attempt=2, last=first.code), error).outcome is Outcome.FAILED
    assert decide(claim(attempt=2, last="job.deadline"), error).outcome is Outcome.FAILED
    # a shutdown between the two leaves its own code, and its attempt is not counted: then a third time, at most
    assert decide(claim(attempt=2, last="shutdown"), error).outcome is Outcome.RETRIED
    assert decide(claim(attempt=3, last="shutdown"), error).outcome is Outcome.FAILED


def test_retry_after_is_a_floor_and_no_ceiling() -> None:
    assert decide(claim(), TransientError("429", retry_after_s=77.0), jitter=0.0).delay_s == 77.0
    assert decide(claim(attempt=4), TransientError("429", retry_after_s=1.0), jitter=0.0).delay_s == 20.0


def test_configuration_errors_never_use_up_an_attempt() -> None:
    decision = decide(claim(attempt=5), ConfigurationError("key refused", code="voice.key", about=("OPENAI_API_KEY",)))
    assert (decision.action, decision.outcome) == (Action.PARK, Outcome.PARKED)
    assert (decision.code, decision.cause) == ("voice.key", "OPENAI_API_KEY/voice.key")
    assert decide(claim(), ConfigurationError("x", retry_after_s=600)).delay_s == 600


def test_a_cause_is_made_of_names_and_nothing_else() -> None:
    error = ConfigurationError("x", code="voice.unknown", about=("openai", "a model\n=b", "v" * 500))
    assert error.cause == f"openai/a-model-b/{'v' * 64}/voice.unknown"
    assert ConfigurationError("x").cause == "configuration"


@pytest.mark.parametrize("code", ["resource", "resource.memory", "disk.full"])
def test_resource_errors_get_one_more_try(code: str) -> None:
    first = decide(claim(attempt=1), ResourceError("no memory", code=code))
    assert first.outcome is Outcome.RETRIED
    second = decide(claim(attempt=2, last=first.code), ResourceError("no memory", code=code))
    assert second.outcome is Outcome.FAILED
    # an unrelated failure in between starts it anew
    assert decide(claim(attempt=2, last="database"), ResourceError("no memory")).outcome is Outcome.RETRIED


def test_the_third_crash_is_poison() -> None:
    error = TransientError("child killed by signal 11")
    crashes = [decide(claim(attempt=n + 1, crashes=n), error, crashed=True) for n in range(3)]
    assert [decision.outcome for decision in crashes] == [Outcome.RETRIED, Outcome.RETRIED, Outcome.POISON]
    assert all(decision.crashed for decision in crashes)
    assert crashes[2].code == "poison"
    assert crashes[2].message == APOLOGY


def test_interruptions_are_no_failures() -> None:
    assert decide(claim(), Cancelled()).action is Action.NOTHING
    assert decide(claim(), Cancelled()).outcome is Outcome.CANCELLED
    assert decide(claim(), LeaseLost()).outcome is Outcome.LOST
    shutdown = decide(claim(attempt=5, crashes=2), ShuttingDown())
    assert (shutdown.action, shutdown.outcome, shutdown.delay_s) == (Action.RELEASE, Outcome.RELEASED, 0.0)


@given(
    attempt=st.integers(1, 100),
    crashes=st.integers(0, 5),
    crashed=st.booleans(),
    error=st.sampled_from([TransientError("t"), ResourceError("r"), QualityError("q"), ValueError("v")]),
)
def test_no_error_is_retried_for_ever(attempt: int, crashes: int, crashed: bool, error: Exception) -> None:
    decision = decide(claim(attempt=attempt, crashes=crashes), error, crashed=crashed)
    bug = isinstance(error, QualityError | ValueError)
    if attempt >= MAX_ATTEMPTS or (crashed and crashes >= 2) or (bug and attempt > 2):
        assert decision.action is Action.FAIL
    else:
        assert decision.action is Action.RETRY
        assert 0 < decision.delay_s <= 900


def test_what_only_this_machine_lacks_parks_nothing() -> None:
    decision = decide(claim(attempt=5), MachineError("no FFmpeg"))
    assert (decision.action, decision.outcome) == (Action.RELEASE, Outcome.RELEASED)


def test_a_machine_that_lacks_the_same_thing_again_rests_longer() -> None:
    """Longer than the worker backs off: else a few such jobs, being the oldest, would be all that it takes."""
    error = MachineError("no FFmpeg", code="configuration.ffmpeg")
    first = decide(claim(), error)
    again = decide(claim(last="configuration.ffmpeg"), error)
    assert (first.delay_s, again.delay_s) == (60.0, 300.0)
