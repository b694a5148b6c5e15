"""`canary`: what is refused before anything is written."""

from __future__ import annotations

import pytest

from worker.cli.canary import canary
from worker.config import Config
from worker.errors import JobError


@pytest.mark.parametrize(
    ("voices", "user", "says"),
    [
        (["local", "amazon:joe"], None, "--voice: found 'amazon', allowed are openai,"),
        ([], "me@studio.example", "--user: found 'me@studio.example', expected an account's id"),
    ],
)
def test_a_wrong_voice_or_account_is_named_at_once(voices: list[str], user: str | None, says: str) -> None:
    with pytest.raises(JobError, match=says):
        canary(Config(), voices=voices, music=None, no_music=False, user=user, timeout_s=1.0)
