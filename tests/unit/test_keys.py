"""Keys: what kind a Supabase key is, which kinds are refused, and blanks and quotation marks around any key."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from standins.keys import ANON_JWT, OPAQUE_KEY, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_JWT, USER_JWT, jwt_key

from worker import config
from worker.config import Config
from worker.errors import ConfigurationError
from worker.supabase_access import KeyKind, key_kind, supabase_of

URL = "https://ref.supabase.co"
IN_2036 = datetime(2036, 1, 1, tzinfo=UTC)
KEY = "sk-" + 9 * "abc"  # long enough for any setting
SECRETS = sorted(name.upper() for name in config.SECRETS if name != "database_url")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (SECRET_KEY, KeyKind("secret")),
        (PUBLISHABLE_KEY, KeyKind("publishable")),
        (SERVICE_JWT, KeyKind("service_role", "service_role", IN_2036)),
        (ANON_JWT, KeyKind("anon", "anon", IN_2036)),
        (USER_JWT, KeyKind("other", "authenticated", IN_2036)),
        (jwt_key("service_role", exp=None), KeyKind("service_role", "service_role")),
        (jwt_key("service_role", exp=10**30), KeyKind("service_role", "service_role")),
        (jwt_key("service_role", exp=True), KeyKind("service_role", "service_role")),
        (jwt_key("SERVICE_ROLE"), KeyKind("other", "SERVICE_ROLE", IN_2036)),
        (jwt_key(None), KeyKind("unknown")),
        (OPAQUE_KEY, KeyKind("unknown")),
        ("a.b.c", KeyKind("unknown")),
        ("eyJ.wrong.key", KeyKind("unknown")),
        (f"x.{'W' * 99999}.y", KeyKind("unknown")),
        ("", KeyKind("unknown")),
    ],
)
def test_the_kind_of_a_supabase_key(key: str, kind: KeyKind) -> None:
    assert key_kind(key) == kind


@pytest.mark.parametrize("key", [SECRET_KEY, SERVICE_JWT, OPAQUE_KEY])
def test_a_key_that_serves_is_taken(key: str) -> None:
    supabase = supabase_of(Config(supabase_url=URL, supabase_service_role_key=SecretStr(key)))
    assert supabase is not None
    bearer = {} if key == SECRET_KEY else {"Authorization": f"Bearer {key}"}
    assert supabase.headers() == {"apikey": key, **bearer}


@pytest.mark.parametrize("key", [ANON_JWT, USER_JWT, PUBLISHABLE_KEY, jwt_key("x\n\x1b" * 60)])
def test_a_key_that_rls_binds_is_refused_and_not_printed(key: str) -> None:
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY") as caught:
        supabase_of(Config(supabase_url=URL, supabase_service_role_key=SecretStr(key)))
    said = caught.value.message
    assert not [part for part in key.split(".") if part in said]
    assert said.isprintable()
    assert len(said) < 400
    assert "sb_secret_" in said  # what to set instead


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} ", "\t{}", '"{}"', "'{}' "])
def test_blanks_around_a_secret_are_taken_off(name: str, around: str) -> None:
    value = getattr(Config.from_environ({name: around.format(KEY)}), name.lower())
    assert value.get_secret_value() == KEY
    given = Config.model_validate({name.lower(): SecretStr(around.format(KEY))})
    assert getattr(given, name.lower()).get_secret_value() == KEY


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ['"sk-abc', "sk-abc'", "sk-\nabc", "sk-a\x1bbc"])
def test_a_mangled_secret_is_named_and_not_printed(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: it ") as caught:
        Config.from_environ({name: value})
    assert "sk-" not in caught.value.message
    assert "abc" not in caught.value.message


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ["Bearer sk-abc", "sk-abc sk-abc", "sk–abc", "sk-abc\u00a0", "…", "\u200bsk-abc"])
def test_a_key_of_more_than_one_word_is_named(name: str, value: str) -> None:
    value = value.replace("sk-abc", KEY)
    if value.strip() == KEY:
        assert getattr(Config.from_environ({name: value}), name.lower()).get_secret_value() == KEY
        return
    with pytest.raises(ConfigurationError, match=f"^{name}: it has a blank") as caught:
        Config.from_environ({name: value})
    assert "abc" not in caught.value.message


def test_a_wrong_value_that_is_no_secret_is_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"WORKER_CONCURRENCY: .* \(found 'many'\)"):
        Config.from_environ({"WORKER_CONCURRENCY": "many"})


def test_claims_that_python_cannot_load_are_no_jwt() -> None:
    import base64

    for text in ("[" * 100_000, '{"role": ' + "9" * 5000 + "}", json.dumps(["role"])):
        part = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        assert key_kind(f"e30.{part}.x") == KeyKind("unknown")
