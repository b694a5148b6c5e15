"""doctor about settings: those it cannot read, names that are slips, and a `.env` that others can read."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest
from rich.console import Console

from worker.cli import doctor as command
from worker.cli.doctor import as_document, as_text, examined
from worker.cli.doctor_finding import Finding
from worker.cli.doctor_settings import examine_settings, meant_setting
from worker.cli.main import run
from worker.config import VARIABLES, Config

# Names as they are there; of these machines none is a setting that somebody has misspelt.
HEROKU = """
DYNO DYNO_RAM HOME PATH PORT PS1 PWD SHLVL LANG GUNICORN_CMD_ARGS FORWARDED_ALLOW_IPS LIBRARY_PATH LD_LIBRARY_PATH
PYTHONHASHSEED PYTHONHOME PYTHONPATH PYTHONUNBUFFERED WEB_CONCURRENCY STACK SOURCE_VERSION HEROKU_APP_ID
HEROKU_APP_NAME HEROKU_APP_DEFAULT_DOMAIN_NAME HEROKU_BUILD_COMMIT HEROKU_RELEASE_CREATED_AT HEROKU_RELEASE_VERSION
HEROKU_SLUG_COMMIT HEROKU_SLUG_DESCRIPTION HEROKU_POSTGRESQL_ONYX_URL HEROKU_POSTGRESQL_ONYX_POOL_URL REDIS_URL
REDIS_TLS_URL DATABASE_URL DATABASE_CONNECTION_POOL_URL PAPERTRAIL_API_TOKEN NEW_RELIC_LICENSE_KEY NEW_RELIC_LOG
SENTRY_DSN SENTRY_ENVIRONMENT SENTRY_RELEASE CLOUDINARY_URL BUCKETEER_BUCKET_NAME
"""
GITHUB = """
ACCEPT_EULA ACTIONS_ORCHESTRATION_ID ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE AGENT_TOOLSDIRECTORY ANDROID_HOME ANDROID_NDK
ANT_HOME AZURE_EXTENSION_DIR BOOTSTRAP_HASKELL_NONINTERACTIVE CHROMEWEBDRIVER CHROME_BIN CI CONDA DEBIAN_FRONTEND
DOTNET_MULTILEVEL_LOOKUP EDGEWEBDRIVER ENABLE_RUNNER_TRACING GECKOWEBDRIVER GHCUP_INSTALL_BASE_PREFIX GITHUB_ACTION
GITHUB_ACTOR GITHUB_API_URL GITHUB_BASE_REF GITHUB_ENV GITHUB_EVENT_NAME GITHUB_GRAPHQL_URL GITHUB_HEAD_REF GITHUB_JOB
GITHUB_OUTPUT GITHUB_PATH GITHUB_REF GITHUB_REPOSITORY GITHUB_RUN_ID GITHUB_SERVER_URL GITHUB_SHA GITHUB_STEP_SUMMARY
GITHUB_TOKEN GITHUB_WORKFLOW GITHUB_WORKSPACE GOROOT_1_22_X64 GRADLE_HOME HOMEBREW_NO_AUTO_UPDATE ImageOS ImageVersion
INVOCATION_ID JAVA_HOME JAVA_HOME_17_X64 JOURNAL_STREAM LEIN_HOME NVM_DIR PIPX_BIN_DIR PIPX_HOME
POWERSHELL_DISTRIBUTION_CHANNEL RUNNER_ARCH RUNNER_ENVIRONMENT RUNNER_NAME RUNNER_OS RUNNER_TEMP RUNNER_TOOL_CACHE
RUNNER_TRACKING_ID RUNNER_USER RUNNER_WORKSPACE SELENIUM_JAR_PATH SGX_AESM_ADDR STATS_KEYSTORE SWIFT_PATH
SYSTEMD_EXEC_PID USER VCPKG_INSTALLATION_ROOT XDG_CONFIG_HOME XDG_RUNTIME_DIR PGHOST PGPORT PGUSER PGPASSWORD
PGDATABASE PGSSLMODE POSTGRES_PASSWORD POSTGRES_URL
"""
LAPTOP = """
ALACRITTY_LOG API_URL API_KEY ANTHROPIC_API_KEY AWS_ACCESS_KEY_ID AWS_PROFILE AWS_REGION BASH_ENV BROWSER CACHE
CARGO_HOME CLICOLOR COLORTERM COLUMNS CONDA_DEFAULT_ENV CONDA_PREFIX DATABASE_HOST DATABASE_USER DATABASE_NAME
DATABASE_PASSWORD DATABASE_PORT DBUS_SESSION_BUS_ADDRESS DEEPGRAM_API_KEY DESKTOP_SESSION DISPLAY DOCKER_HOST EDITOR
ELECTRON_RUN_AS_NODE FFMPEG_BINARY FORCE_COLOR GDK_BACKEND GEMINI_API_KEY GIT_EDITOR GOPATH GPG_TTY GTK_MODULES
HF_HOME HF_TOKEN HISTSIZE HOSTNAME HOST HTTP_PROXY HTTPS_PROXY http_proxy https_proxy no_proxy INSIDE_EMACS
ITERM_SESSION_ID KITTY_WINDOW_ID LC_ALL LESS LESSOPEN LOGNAME LS_COLORS MAIL MANPATH MISTRAL_API_KEY
NEXT_PUBLIC_SUPABASE_ANON_KEY NEXT_PUBLIC_SUPABASE_URL NO_COLOR NODE_ENV NODE_OPTIONS NPM_TOKEN OLDPWD OPENAI_BASE_URL
OPENAI_MODEL OPENAI_ORG_ID OPENAI_ORGANIZATION OPENAI_PROJECT OPENAI_API_TYPE OPENAI_API_VERSION OPENROUTER_API_KEY
PAGER POETRY_HOME POST PROMPT_COMMAND PYENV_ROOT QT_QPA_PLATFORM RENDER RENDER_EXTERNAL_URL RENDER_SERVICE_NAME
REVIEW_URL RUSTUP_HOME SECRET_KEY SENDGRID_API_KEY SERVICE SESSION_MANAGER SHELL SSH_AUTH_SOCK STORAGE_BUCKET
STRIPE_API_KEY SUPABASE_ACCESS_TOKEN SUPABASE_ANON_KEY SUPABASE_DB_PASSWORD SUPABASE_JWT_SECRET SUPABASE_PROJECT_ID
TERM TERM_PROGRAM TMPDIR TMUX TZ UV_CACHE_DIR VERCEL_URL VIRTUAL_ENV VISUAL VITE_SUPABASE_ANON_KEY VITE_SUPABASE_URL
WAYLAND_DISPLAY WINDOWID WSL_DISTRO_NAME XAUTHORITY XDG_CACHE_HOME XDG_DATA_DIRS npm_config_cache _
__CF_USER_TEXT_ENCODING
"""


def findings(config=None, *, env_file=Path("no such file"), **how):
    return {finding.what: finding for finding in examine_settings(config or Config(), env_file=env_file, **how)}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("openai_api_key", "OPENAI_API_KEY"),
        ("OPEN_AI_API_KEY", "OPENAI_API_KEY"),
        ("ELEVEN_LABS_API_KEY", "ELEVENLABS_API_KEY"),
        ("SUPABASE_SERVICE_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        ("SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        ("SUPABSE_URL", "SUPABASE_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("DATBASE_URL", "DATABASE_URL"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("MEDIA_HOST", "MEDIA_HOSTS"),
        ("RESEND_KEY", "RESEND_API_KEY"),
        ("Port", "PORT"),
    ],
)
def test_a_slip_is_told_with_the_setting_that_is_meant(written, meant):
    assert meant_setting(written, ()) == meant
    assert meant_setting(written, {meant}) is None, "it has its own value"
    says = findings(environ=[written])[written].says
    assert says == f"is not read; did you mean {meant}?"


@pytest.mark.parametrize("names", [HEROKU, GITHUB, LAPTOP, " ".join(VARIABLES).upper()])
def test_names_that_others_read_are_no_slips(names):
    assert {name: meant for name in names.split() if (meant := meant_setting(name, ())) is not None} == {}


def test_every_setting_that_cannot_be_read_is_a_finding():
    config, problems = Config.read({"LOG_LEVEL": "LOUD", "PORT": "x", "OPENAI_API_KEY": "sk secret", "FIT": "adapt"})
    found = findings(config, problems=problems)
    assert [found[name].good for name in ("LOG_LEVEL", "PORT", "OPENAI_API_KEY")] == [False] * 3
    assert "allowed are TRACE" in found["LOG_LEVEL"].says
    assert "'LOUD'" in found["LOG_LEVEL"].says
    assert "secret" not in found["OPENAI_API_KEY"].says
    assert (config.fit, config.log_level, config.port) == ("adapt", "INFO", None)
    assert findings(Config.read({"FIT": "fail"})[0])["settings"].good is True


def test_what_is_in_env_is_told_by_its_name_and_never_by_its_value(tmp_path):
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\nexport OPENAI_APIKEY='sk-canary'\nVITE_SUPABASE_URL=x\n not a line\nLOG_LEVLE = INFO\n"
    )
    found = findings(env_file=path)
    assert f"(in {path})" in found["OPENAI_APIKEY"].says
    assert found["LOG_LEVLE"].good is None
    assert "VITE_SUPABASE_URL" not in found
    assert "canary" not in " ".join(finding.says for finding in found.values())


@pytest.mark.parametrize(("mode", "good"), [(0o644, None), (0o640, None), (0o600, True), (0o400, True)])
def test_a_file_with_keys_is_for_its_owner(tmp_path, mode, good):
    path = tmp_path / ".env"
    path.write_text("OPENAI_API_KEY=sk-canary\n")
    path.chmod(mode)
    found = findings(env_file=path)[str(path)]
    assert (found.good, f"chmod 600 {path}" in found.says) == (good, good is None)


@pytest.mark.parametrize("text", ["", "LOG_LEVEL=INFO\n", "OPENAI_API_KEY=\n", "#OPENAI_API_KEY=x\n"])
def test_a_file_without_keys_may_be_read_by_all(tmp_path, text):
    path = tmp_path / ".env"
    path.write_text(text)
    path.chmod(0o644)
    assert str(path) not in findings(env_file=path)


FOUND = {
    "settings": [Finding("LOG_LEVEL", False, "allowed are " + "INFO, " * 20)],
    "storage": [Finding("[b]bucket[/b]", None, "refuses [/]; extend its types"), Finding("other", True, "fine")],
}


@pytest.mark.parametrize("width", [20, 40, 69, 70, 80, 200])
def test_findings_fit_every_terminal(width):
    out = io.StringIO()
    Console(file=out, width=width).print(as_text(FOUND, width))
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= width
    assert lines[0].rstrip() == "settings"
    assert "[b]bucket[/b]" in "".join("".join(lines).split())
    wrapped = [line for line in lines if line.lstrip().startswith("INFO,")]
    assert all(line.startswith("    ") for line in wrapped)


def test_elsewhere_each_finding_is_one_line():
    lines = [str(each) for each in as_text(FOUND, None).renderables]
    assert len(lines) == 5
    assert lines[1].startswith("  bad   LOG_LEVEL allowed are INFO")


def test_json_says_what_the_lines_say():
    document = json.loads(json.dumps(as_document(FOUND)))
    assert document["ok"] is False
    assert [each["verdict"] for each in document["findings"]] == ["bad", "note", "ok"]
    assert document["findings"][0]["group"] == "settings"
    assert as_document({"a": [Finding("x", None, "y")]})["ok"] is True


def test_a_check_that_hangs_or_breaks_does_not_stop_the_others(monkeypatch):
    forever = threading.Event()

    def hangs(config):
        yield Finding("audio-renders", True, "no limit")
        forever.wait(60)

    def breaks(config, *, online):
        raise KeyError("a bug")
        yield

    monkeypatch.setattr(command, "examine_storage", hangs)
    monkeypatch.setattr(command, "examine_queue", lambda config: [Finding("queue", True, "fine")])
    monkeypatch.setattr(command, "_machine", lambda config: [Finding("FFmpeg", True, "fine")])
    monkeypatch.setattr(command, "_voices", breaks)
    groups = examined(Config(), limit_s=1.0)
    forever.set()
    assert [finding.good for finding in groups["storage"]] == [True, False]
    assert "something does not answer" in groups["storage"][1].says
    assert "KeyError" in groups["voices"][0].says
    assert groups["queue"][0].good is True


def test_a_project_that_cannot_be_read_is_not_taken_for_none(monkeypatch):
    monkeypatch.setattr(command, "examine_queue", lambda config: pytest.fail("an embedded database would be made"))
    monkeypatch.setattr(command, "_machine", lambda config: [])
    config, problems = Config.read({"SUPABASE_URL": "${SUPABASE_URL}", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x"})
    groups = examined(config, problems=problems)
    assert groups["queue"][0].good is groups["storage"][0].good is False
    assert groups["queue"][0].says == "not checked: SUPABASE_URL cannot be read"


def test_a_bad_setting_stops_every_command_but_doctor(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(command, "doctor", lambda config, **options: given.append((config, options)) or 1)
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    assert run(["doctor"]) == 1
    (config, options) = given[0]
    assert config.log_level == "INFO"
    assert [problem.message.partition(":")[0] for problem in options["problems"]] == ["LOG_LEVEL"]
    assert run(["voices"]) == 1
    assert capsys.readouterr().err.startswith("error: LOG_LEVEL: allowed are TRACE")
