"""`mindscript-worker psql`: which database, where the password is, whose Ctrl-C it is."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from database import execute, remove
from psycopg.conninfo import conninfo_to_dict

from worker.cli.main import run
from worker.embedded.postgres import embedded_postgres, packaged_program

MAIN = [sys.executable, "-m", "worker", "psql"]
RUNS = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
SHOWS = '#!/bin/sh\necho "arguments: $*"\nenv\nexit 3\n'


def bare_environment(**settings: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings}


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A psql that shows what it is given."""
    program = tmp_path / "bin" / "psql"
    program.parent.mkdir()
    program.write_text(SHOWS)
    program.chmod(0o755)
    return program.parent


def test_the_password_is_in_no_list_of_processes(told: Path) -> None:
    environment = bare_environment(
        PATH=f"{told}:{os.environ['PATH']}",
        DATABASE_URL="postgres://ann:s%40cret@db.example:5433/app?sslmode=verify-full&application_name=x",
        OPENAI_API_KEY="sk-key",
        SUPABASE_SERVICE_ROLE_KEY="sb_secret_key",
        LANG="C.UTF-8",
    )
    ended = subprocess.run([*MAIN, "-X", "-c", "SELECT 1"], env=environment, capture_output=True, text=True, timeout=60)
    first, *lines = ended.stdout.splitlines()
    given = dict(line.split("=", 1) for line in lines if "=" in line)
    assert ended.returncode == 3, ended.stderr  # psql's own
    assert first == "arguments: -X -c SELECT 1"
    assert (given["PGHOST"], given["PGPORT"], given["PGDATABASE"]) == ("db.example", "5433", "app")
    assert (given["PGUSER"], given["PGPASSWORD"], given["PGSSLMODE"]) == ("ann", "s@cret", "verify-full")
    assert given["LANG"] == "C.UTF-8"
    assert not given.keys() & {"DATABASE_URL", "OPENAI_API_KEY", "SUPABASE_SERVICE_ROLE_KEY"}


@pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql (Debian's postgresql-client)")
def test_it_reaches_the_configured_database(laptop_dsn: str) -> None:
    command = [*MAIN, "-Atc", "SELECT current_database()"]
    environment = bare_environment(DATABASE_URL=laptop_dsn)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    keywords = conninfo_to_dict(laptop_dsn)
    assert (ended.returncode, ended.stdout) == (0, f"{keywords['dbname']}\n"), ended.stderr


def test_ctrl_c_on_a_terminal_is_psqls_own(server_folder: Path) -> None:
    """In the embedded database, by the wheel's own psql; a query is cancelled, and psql goes on."""
    if packaged_program("psql") is None:
        pytest.skip("needs the extra [local]")
    environment = bare_environment(PATH="/nowhere", TERM="dumb", PSQLRC="/dev/null", PAGER="")
    python_path = os.pathsep.join(path for path in sys.path if path)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(server_folder)
        os.execve(sys.executable, MAIN, environment | {"PYTHONPATH": python_path})  # noqa: S606 - no shell is meant
    shown, deadline = b"", time.monotonic() + 90

    def until(words: bytes) -> None:
        nonlocal shown
        while words not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(terminal, 4096)

    try:
        until(b"postgres=# ")
        os.write(terminal, b"SELECT pg_sleep(600);\n")
        with embedded_postgres(server_folder / ".mindscript") as server:
            while not execute(server.dsn, RUNS):
                assert time.monotonic() < deadline
            os.write(terminal, b"\x03")
        until(b"canceling statement")
        os.write(terminal, b"SELECT count(*) + 41 AS jobs FROM audio_job_queue;\n")
        until(b"41")
        os.write(terminal, b"\\q\n")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
        remove(server_folder)
        server_folder.mkdir()


def test_what_cannot_be_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("DATABASE_URL", "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("worker.cli.psql.packaged_program", lambda _name: None)
    assert run(["psql"]) == 1
    assert "there is no psql: install" in capsys.readouterr().err
    monkeypatch.setenv("SUPABASE_URL", "https://x.supabase.co")
    assert run(["psql", "-c", "SELECT 1"]) == 1
    assert "psql cannot go through SUPABASE_URL" in capsys.readouterr().err
