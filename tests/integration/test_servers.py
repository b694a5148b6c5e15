"""The tests' own servers: the version asked for, nothing left behind, no package that the lock does not name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import servers
from paths import TESTS
from servers import Server, need_server, pgbouncer, postgres_server, wanted_versions


def version_of(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.info.server_version // 10000


def processes_below(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(home) in part for part in process.info["cmdline"] or []):
            found.append(process)
    return found


def wait_until_gone(home: Path) -> None:
    deadline = time.monotonic() + 90
    while home.exists() or processes_below(home):
        assert time.monotonic() < deadline, "something stayed behind"
        time.sleep(0.05)


@pytest.mark.parametrize("version", wanted_versions())
def test_a_server_has_the_version_asked_for_and_leaves_nothing(version: int) -> None:
    with postgres_server(version, settings={"max_connections": "33"}) as server:
        assert version_of(server.dsn) == version_of(server.tcp_dsn()) == version
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SHOW max_connections").fetchone() == ("33",)
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
    wait_until_gone(server.home)


def test_pgbouncer_stands_before_every_database_for_every_role() -> None:
    version = wanted_versions()[0]
    with postgres_server(version) as server, pgbouncer(server, "transaction") as pooler:
        with psycopg.connect(pooler.dsn, autocommit=True) as connection:
            connection.execute("CREATE ROLE somebody LOGIN")
            connection.execute("CREATE DATABASE another")
        with psycopg.connect(pooler.tcp_dsn("another", user="somebody")) as connection:
            assert connection.execute("SELECT current_user, current_database()").fetchone() == ("somebody", "another")
        with psycopg.connect(pooler.dsn.replace("@/postgres", "@/pgbouncer"), autocommit=True) as console:
            assert console.execute("SHOW CONFIG").fetchall()
    wait_until_gone(pooler.home)
    wait_until_gone(server.home)


def test_a_session_that_is_killed_leaves_no_server_behind() -> None:
    need_server(wanted_versions()[0])
    program = (
        f"import time; from servers import postgres_server, pgbouncer\n"
        f"with postgres_server({wanted_versions()[0]}) as server:\n"
        f"    print(server.home, flush=True); time.sleep(600)\n"
    )
    session = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=TESTS, env={**os.environ}
    )
    assert session.stdout is not None
    home = Path(session.stdout.readline().strip())
    assert processes_below(home)
    session.send_signal(signal.SIGKILL)
    session.wait()
    wait_until_gone(home)


def test_a_package_that_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(b"")
    of_nothing = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
    servers.check_integrity(archive, of_nothing)
    for wrong in (of_nothing.replace("z4", "z5"), "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "", "sha512-"):
        with pytest.raises(RuntimeError, match=r"servers\.lock\.json"):
            servers.check_integrity(archive, wrong)


def test_every_package_in_the_lock_has_a_version_and_a_sha512() -> None:
    lock = json.loads((TESTS / "servers.lock.json").read_text())
    assert set(lock["x64"]) == {str(version) for version in servers.ALL_VERSIONS}
    for machine in ("x64", "arm64"):
        for version, (package, integrity) in lock[machine].items():
            assert package.split(".")[0] == version
            assert integrity.startswith("sha512-")


def test_a_missing_server_is_skipped_or_with_the_variable_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINDSCRIPT_ALL_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make servers"):
        need_server(12)
    monkeypatch.setenv("MINDSCRIPT_ALL_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match="make servers"):
        need_server(12)


def test_a_server_that_cannot_start_says_why() -> None:
    need_server(wanted_versions()[0])
    with (
        pytest.raises(RuntimeError, match="no_such_setting"),
        postgres_server(wanted_versions()[0], settings={"no_such_setting": "1"}) as server,
    ):
        assert isinstance(server, Server)
