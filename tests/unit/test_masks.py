"""What is masked in every message that leaves a process."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from worker import masks
from worker.config import Config

KEY = 'sk-proj-q7Zt+3/xY9"w\\K2mN8vB4'


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    masks.forget()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-AbCdEf0123456789_xyz",
        "sk_live0123456789abcdef",
        "sb_secret_abcdefghijklmnop",
        "re_AbCdEfGh_1234567890",
        "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZSJ9.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_key_is_masked_whoever_wrote_it(secret: str) -> None:
    assert secret not in masks.masked(f"refused: {secret}, try again")
    assert masks.masked(f"refused: {secret}, try again") == "refused: ***, try again"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("postgresql://app:tulip@db:5432/x", "postgresql://***@db:5432/x"),
        ("https://x.supabase.co/o/sign/a.mp3?token=abc.def&x=1", "https://x.supabase.co/o/sign/a.mp3?***&x=1"),
        ("https://h/a?x=1&X-Amz-Signature=00ff", "https://h/a?x=1&***"),
        ("ask-for-help and desk-lamps-are-fine", "ask-for-help and desk-lamps-are-fine"),
        ("job 00000000-0000-0000-0000-000000000000 re-tried", "job 00000000-0000-0000-0000-000000000000 re-tried"),
        ("https://host/path at 12:30:45", "https://host/path at 12:30:45"),
    ],
)
def test_carriers_of_keys_lose_them_and_plain_words_stay(text: str, shown: str) -> None:
    assert masks.masked(text) == shown


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_anything_that_is_bound_can_be_written(value: object) -> None:
    json.loads(json.dumps(masks.masked_value(value), allow_nan=False))


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        quote(KEY),
        quote(KEY, safe=""),
        quote_plus(KEY),
        json.dumps(KEY),
        json.dumps({"key": KEY}),
        repr(KEY),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"api:{KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"u:{KEY}".encode()).decode(),
        base64.b64encode(f"ab:{KEY}:".encode()).decode(),
        KEY[:16],
        KEY[4:],
        "sk-proj-****************vB4",
        "sk-…8vB4",
        "…8vB4",
    ],
)
def test_a_key_is_masked_in_each_form_that_services_echo(form: str) -> None:
    masks.set_up(Config(openai_api_key=SecretStr(KEY)))
    shown = masks.masked(f"refused ({form}) at 12:30")
    for part in (form[4:16], form[-8:-3]):
        assert part not in shown or part in ("*" * 12, "*" * 5)
    assert "vB4" not in shown
    assert shown.startswith("refused (")
    assert shown.endswith(") at 12:30")


@pytest.mark.parametrize(
    ("setting", "address", "echo"),
    [
        ("database_url", "postgresql://app:p%40ss%22word@db:5432/x", 'p@ss"word'),
        ("database_url", "host=db user=app password=tulips99", "tulips99"),
        ("sentry_dsn", "https://0badc0ffee@o1.ingest.sentry.io/22", "0badc0ffee"),
        ("openai_base_url", "https://gw.example/v1?api_key=gate8keeper", "gate8keeper"),
        ("supabase_url", "https://user:letmein77@db.example", "letmein77"),
    ],
)
def test_credentials_within_addresses_are_secrets(setting: str, address: str, echo: str) -> None:
    masks.set_up(Config.model_validate({setting: address}))
    assert masks.masked(f"it says {echo} is wrong") == "it says *** is wrong"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://postgres:tulips99@db:5432/x",
        "postgresql://postgres@db/postgres",
        "postgresql://postgres:postgres@127.0.0.1:54322/postgres",
        "postgresql://postgres:mindscript@postgres:5432/postgres",
        "postgresql://studio:studio@db/x",
    ],
)
def test_what_all_know_of_a_database_is_no_secret(address: str) -> None:
    masks.set_up(Config(database_url=SecretStr(address)))
    text = 'studio, user "postgres": run `mindscript-worker migrate`'
    assert masks.masked(text) == text
    assert address not in masks.masked(f"{address} fails")


@pytest.mark.parametrize(
    "message",
    [
        "Storage has no bucket 'audio-renders'; create it, or check SUPABASE_URL",
        "SUPABASE_URL leads to no Supabase Storage",
        "music: calm/<text of 8 characters> is in bucket 'calm', which MEDIA_BUCKETS does not list",
        "no customer can change the voice 'echo': set OPENAI_TTS_VOICE",
        "SUPABASE_SERVICE_ROLE_KEY: needed is a secret key (sb_secret_…)",
        "STORAGE_DIR: /out/audio-renders cannot be written",
        "voice.id: openai has no such voice, audio.left_out",
    ],
)
def test_names_of_the_operators_stay_though_a_customer_writes_them(message: str) -> None:
    masks.set_up(Config(supabase_url="https://p.supabase.co"))
    url = "https://p.supabase.co/storage/v1/object/public/calm/rain.mp3"
    other = "https://h.example/audio/voice/audio-renders/rain.mp3"
    script = "calm echo, SUPABASE_URL, audio-renders"
    voice = {"provider": "openai", "voice": "echo"}
    written = {"script": script, "title": "SUPABASE_URL", "voice": voice, "music": [url, other]}
    masks.learn(json.dumps(written))
    assert masks.masked(message) == message
