"""The environment as people copy it: stray quotes, spaces, placeholders and variables that nothing replaced."""

from __future__ import annotations

import os

import pytest
from pydantic import SecretStr

from worker import masks
from worker.config import SECRETS, VARIABLES, Config, forget_secrets, without_secrets
from worker.errors import ConfigurationError

KEYS = sorted(SECRETS - {"database_url"})


def value_of(name: str, given: str) -> object:
    value = getattr(Config.from_environ({name.upper(): given}), name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_every_key_is_known_to_these_tests() -> None:
    assert {"supabase_service_role_key", "openai_api_key", "worker_token"} <= set(KEYS)
    assert "database_url" in SECRETS


@pytest.mark.parametrize("wrapped", ["{}\n", " {} ", '"{}"', "'{}'", "“{}”", "'{} '\n", "\t{}\r\n"])
def test_what_was_copied_along_is_left_out_of_every_setting(wrapped: str) -> None:
    for name in KEYS:
        assert value_of(name, wrapped.format("sk-QXZJ-1-and-so-on-to-24")) == "sk-QXZJ-1-and-so-on-to-24"
    assert value_of("supabase_url", wrapped.format("https://a.supabase.co")) == "https://a.supabase.co"
    assert value_of("port", wrapped.format("8080")) == 8080
    assert value_of("media_hosts", wrapped.format("a.b, c.d")) == ("a.b", "c.d")
    assert value_of("database_url", wrapped.format("postgresql://u:p@h/d")) == "postgresql://u:p@h/d"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "given",
    [
        "QXZJ QXZJ",
        "QXZJ\nQXZJ",
        "QXZJ\u200b",
        "“QXZJ",
        "QXZJ'",
        "Bearer QXZJ",
        "QXZJ\x00",
        "ÄXZJ",
        "$QXZJ",
        "${QXZJ}",
        "[YOUR-QXZJ]",
    ],
)
def test_a_key_that_was_copied_wrongly_is_refused_without_being_shown(name: str, given: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Config.from_environ({name.upper(): given})
    assert raised.value.message.startswith(f"{name.upper()}: ")
    assert raised.value.code == "configuration.variable"
    assert "XZ" not in raised.value.message


@pytest.mark.parametrize("given", ["$SUPABASE_URL", "${{ secrets.URL }}", "https://[YOUR-PROJECT-REF].supabase.co"])
def test_a_setting_that_nothing_has_filled_in_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="SUPABASE_URL: "):
        Config.from_environ({"SUPABASE_URL": given})


@pytest.mark.parametrize("given", ["", "  ", "''", '""', "\n"])
def test_an_empty_setting_is_an_absent_one(given: str) -> None:
    assert Config.from_environ({name.upper(): given for name in VARIABLES}) == Config()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:QX%40XZJ@h/d?pgbouncer=true",
        "jdbc:postgresql://h/d?user=u&password=QX%40XZJ&sslmode=require",
        "host=h password=QX@XZJ user=u",
        "host=h password='QX@XZJ'",
    ],
)
def test_the_password_is_masked_in_every_form_of_address(address: str) -> None:
    masks.set_up(Config.from_environ({"DATABASE_URL": address}))
    assert masks.masked("libpq says QX@XZJ is wrong") == "libpq says *** is wrong"
    masks.forget()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("alloy=af_heart, Nova = bf_emma,", {"alloy": "af_heart", "nova": "bf_emma"}),
        ('{"alloy": "af_heart", "ONYX": "am_adam(2)+am_eric"}', {"alloy": "af_heart", "onyx": "am_adam(2)+am_eric"}),
        ("{}", {}),
    ],
)
def test_a_map_of_voice_names_is_read_as_pairs_or_as_json(given: str, names: dict[str, str]) -> None:
    assert Config.from_environ({"OPENAI_VOICE_MAP": given}).openai_voice_map == names


@pytest.mark.parametrize(
    "given", ["alloy", "=af_heart", "alloy=", '{"alloy": 1}', '["alloy"]', '{"alloy"', '{"": "a"}']
)
def test_what_is_no_map_of_voice_names_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_VOICE_MAP: .*alloy=af_heart"):
        Config.from_environ({"OPENAI_VOICE_MAP": given})


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "ELEVENLABS_BASE_URL"])
def test_the_address_of_a_voice_has_a_scheme(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: .*https://"):
        Config.from_environ({name: "tts.example.com/v1"})
    assert Config.from_environ({name: "HTTP://tts.example.com/v1"})


def test_no_secret_stays_in_the_environment_or_reaches_a_child(monkeypatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name.upper(), "canary")
    monkeypatch.setenv("SUPABASE_URL", "https://project.supabase.co")
    assert "canary" not in without_secrets().values()
    assert without_secrets()["SUPABASE_URL"] == "https://project.supabase.co"
    forget_secrets()
    assert "canary" not in os.environ.values()
    assert os.environ["SUPABASE_URL"] == "https://project.supabase.co"


@pytest.mark.parametrize(("length", "is_taken"), [(24, True), (23, False)])
def test_a_token_for_the_queue_page_has_24_characters(length: int, is_taken: bool) -> None:
    if is_taken:
        assert value_of("studio_token", "x" * length) == "x" * length
        return
    with pytest.raises(ConfigurationError, match="STUDIO_TOKEN: it has fewer than 24 characters") as raised:
        Config.from_environ({"STUDIO_TOKEN": "x" * length})
    assert "xx" not in raised.value.message
