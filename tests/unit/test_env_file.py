"""Settings of a file: `.env` of the current folder, and what may be in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.config import SECRETS, VARIABLES, forget_secrets, without_secrets
from worker.env_file import NAMED_BY, find_env_file, load_config, read_env_file
from worker.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*(name.upper() for name in VARIABLES), NAMED_BY, "HIBARI_HOME"):
        monkeypatch.delenv(name, raising=False)


def written(text: str | bytes, name: str = ".env") -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_settings_are_read_from_the_current_folder() -> None:
    written("# keys\nOPENAI_API_KEY='sk-of-the-file'  # mine\nexport PORT=8080\nMEDIA_HOSTS=\"a.example, b.example\"\n")
    config = load_config()
    assert config.openai_api_key is not None
    assert config.openai_api_key.get_secret_value() == "sk-of-the-file"
    assert (config.port, config.media_hosts) == (8080, ("a.example", "b.example"))


def test_the_environment_wins_even_when_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    written("PORT=8080\nLOG_LEVEL=DEBUG\n")
    monkeypatch.setenv("PORT", "9090")
    monkeypatch.setenv("LOG_LEVEL", "")
    assert (load_config().port, load_config().log_level) == (9090, "INFO")


def test_a_parent_folder_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("PORT=8080\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert load_config().port is None


def test_nothing_of_it_gets_into_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {name.upper(): "sk-of-the-file-0123456789" for name in SECRETS - {"database_url", "sentry_dsn"}}
    written("".join(f"{name}={value}\n" for name, value in secrets.items()) + "LD_PRELOAD=/tmp/evil.so\nPATH=/tmp\n")
    before = dict(os.environ)
    load_config()
    forget_secrets()
    assert dict(os.environ) == before
    assert not {"LD_PRELOAD", *secrets} & without_secrets().keys()


def test_what_other_programs_read_is_given_to_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIBARI_HOME", "")
    monkeypatch.delenv("HIBARI_HOME")
    written(f"HIBARI_HOME={tmp_path}\n")
    load_config()
    assert os.environ["HIBARI_HOME"] == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("PORT=8080\n\n\nsk-a-stray-key\n", 4),
        ("OPENAI_API_KEY: sk-a-stray-key\n", 1),
        ("PORT=1\nOPENAI_API_KEY='sk-a-stray-key\n", 2),
        ("\ufeffPORT=8080\n# fine\nOPENAI_API_KEY sk-a-stray-key\n", 3),
        (b"PORT=1\nOPENAI_API_KEY=sk-a-stray-key\xff\n", 2),
    ],
)
def test_a_line_that_is_no_setting_is_named_and_not_shown(text: str | bytes, line: int) -> None:
    written(text)
    with pytest.raises(ConfigurationError, match=rf"^\.env, line {line}: ") as raised:
        load_config()
    assert "stray" not in str(raised.value)


def test_a_setting_that_is_wrong_is_named_with_its_line() -> None:
    written("LOG_LEVEL=INFO\n\nPORT=none\n")
    with pytest.raises(ConfigurationError, match=r"^\.env, line 3: PORT: .*found 'none'"):
        load_config()


def test_another_file_may_be_named_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    written("PORT=8080\n")
    written("PORT=9090\n", "other.env")
    monkeypatch.setenv(NAMED_BY, "other.env")
    assert load_config().port == 9090
    monkeypatch.setenv(NAMED_BY, "")
    assert load_config().port is None
    monkeypatch.setenv(NAMED_BY, "missing.env")
    with pytest.raises(ConfigurationError, match=r"^missing\.env: there is no such file"):
        load_config()


def test_a_folder_of_that_name_is_a_virtual_environment() -> None:
    Path(".env").mkdir()
    assert find_env_file({}) is None


def test_the_file_of_another_user_is_not_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written("PORT=8080\n")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr("worker.env_file._TRUSTED", frozenset())
    assert load_config().port is None
    assert "note: .env is not read: it belongs to another user" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("FFMPEG=./evil\n", {}),
        ("OPENAI_BASE_URL=https://evil.example\n", {"OPENAI_API_KEY": "sk-mine"}),
        ("ELEVENLABS_BASE_URL=https://evil.example\n", {"ELEVENLABS_API_KEY": "mine"}),
        ("SUPABASE_URL=https://evil.example\n", {"SUPABASE_SERVICE_ROLE_KEY": "mine"}),
        ("RESEND_API_URL=https://evil.example\n", {"RESEND_API_KEY": "mine"}),
    ],
)
def test_a_folder_cannot_run_programs_or_lead_keys_away(text: str, environ: dict[str, str]) -> None:
    written(text)
    with pytest.raises(ConfigurationError, match=r"^\.env, line 1: "):
        find_env_file(environ)
    name, value = text.strip().split("=")
    assert find_env_file({**environ, name: value}) is not None  # the environment's own wins
    assert find_env_file({**environ, NAMED_BY: ".env"}) is not None  # meant


def test_a_dollar_is_a_dollar() -> None:
    file = read_env_file(written("WORKER_TOKEN=a$b${PATH}c\n"))
    assert file.values == {"WORKER_TOKEN": "a$b${PATH}c"}
