"""The embedded Postgres: started by root or anybody, shared, gone with its last user, back after kill −9."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from database import remove

from worker.embedded import postgres as embedded
from worker.embedded.postgres import embedded_postgres
from worker.errors import ConfigurationError
from worker.queue.migrate import migrate

TIMEOUT_S = 60.0
FAST = {"fsync": "off"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mindscript-tests-"))
    folder.chmod(0o755)
    yield folder
    remove(folder)


@pytest.fixture
def directory(folder: Path) -> Path:
    """One for all tests, since initdb takes its time: what a test leaves behind, the next must cope with."""
    assert not servers_of(folder)
    return folder / ".mindscript"


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)


def answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=60).close()
    except psycopg.OperationalError:
        return False
    return True


def servers_of(directory: Path) -> list[psutil.Process]:
    """Postmaster, its children and the keeper: everything that runs for this directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(directory.resolve()) in word for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


def user_of_its_own(directory: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until it is killed; it prints its DSN once."""
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from worker.embedded.postgres import embedded_postgres
        with embedded_postgres(Path(sys.argv[1]), settings={"fsync": "off"}) as server:
            print(server.dsn, flush=True)
            time.sleep(600)
        """
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_is_a_whole_postgres_and_leaves_nothing_running(directory: Path) -> None:
    with embedded_postgres(directory, settings=FAST) as server:
        migrate(server.dsn)  # on a cluster without Supabase's roles
        with psycopg.connect(server.dsn) as connection:
            connection.execute("INSERT INTO audio_job_queue (payload) VALUES ('{}')")
            assert connection.execute("SELECT gen_random_uuid()").fetchone() is not None
        assert server.pid is not None
    eventually(lambda: not servers_of(directory))
    with embedded_postgres(directory, settings=FAST) as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM audio_job_queue").fetchone() == (1,)
    eventually(lambda: not servers_of(directory))


@AS_ROOT
def test_root_does_not_run_it_as_root_and_changes_no_parent(directory: Path) -> None:
    modes = {folder: folder.stat().st_mode for folder in directory.parents}
    with embedded_postgres(directory, settings=FAST) as server:
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().effective != 0
        data = (server.home / "data").stat()
        assert (data.st_uid, stat.S_IMODE(data.st_mode)) == (
            psutil.Process(server.pid).uids().effective,
            0o700,
        )
    assert {folder: folder.stat().st_mode for folder in directory.parents} == modes
    eventually(lambda: not servers_of(directory))


@AS_ROOT
def test_below_a_folder_that_nobody_may_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in root's home, with the virtual environment in there as well."""
    reachable = embedded._reachable
    monkeypatch.setattr(
        embedded,
        "_reachable",
        lambda path, owner: "embedded_postgres" not in str(path) and reachable(path, owner),
    )
    closed = Path(tempfile.mkdtemp(prefix="mindscript-closed-"))  # mkdtemp makes it 0700
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    directory = closed / ".mindscript"
    with embedded_postgres(directory, settings=FAST) as server:
        assert answers(server.dsn)
        assert closed not in server.home.parents
        assert (directory / "postgres").resolve() == server.home
        assert psutil.Process(server.pid or 0).exe().startswith(str(server.home))
    eventually(lambda: not servers_of(server.home))
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    shutil.rmtree(server.home)
    shutil.rmtree(closed)


def test_it_is_shared_and_stays_until_the_last_user_has_gone(directory: Path) -> None:
    other = user_of_its_own(directory)
    dsn = first_line(other)
    with embedded_postgres(directory) as server:
        assert server.dsn == dsn
        pid = server.pid
        other.send_signal(signal.SIGKILL)  # the one that started it
        other.wait()
        time.sleep(0.5)
        assert answers(dsn)
        assert server.pid == pid
    eventually(lambda: not servers_of(directory))


def test_users_that_come_at_once_get_the_same_server(directory: Path) -> None:
    users = [user_of_its_own(directory) for _ in range(3)]
    assert len({first_line(user) for user in users}) == 1
    postmasters = [p for p in servers_of(directory) if "postgres" in p.name() and "-D" in p.cmdline()]
    assert len(postmasters) == 1
    for user in users:
        user.kill()
        user.wait()
    eventually(lambda: not servers_of(directory))


def test_it_dies_with_a_user_that_is_killed(directory: Path) -> None:
    other = user_of_its_own(directory)
    assert answers(first_line(other))
    other.kill()
    other.wait()
    eventually(lambda: not servers_of(directory))


@pytest.mark.further
def test_it_starts_after_everything_was_killed(directory: Path) -> None:
    other = user_of_its_own(directory)
    first_line(other)
    everything = [psutil.Process(other.pid), *servers_of(directory)]
    for process in everything:
        process.suspend()  # else one might tidy up after another
    for process in everything:
        process.kill()
    other.wait()
    assert (directory / "postgres/data/postmaster.pid").exists(), "a stale one is what this is about"
    with embedded_postgres(directory, settings=FAST) as server:
        assert answers(server.dsn)
    eventually(lambda: not servers_of(directory))


def test_a_stale_pid_that_is_a_living_strangers_now(directory: Path) -> None:
    """As in a container that was started again: process numbers come back at once."""
    pid_file = directory / "postgres/data/postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n1700000000\n5432\n/nowhere\n\n")
    with embedded_postgres(directory, settings=FAST) as server:
        assert answers(server.dsn)
    eventually(lambda: not servers_of(directory))


def test_a_crashed_server_comes_back_while_it_is_in_use(directory: Path) -> None:
    with embedded_postgres(directory, settings=FAST) as server:
        before = server.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        eventually(lambda: server.pid not in (None, before) and answers(server.dsn))
    eventually(lambda: not servers_of(directory))


@pytest.mark.further
def test_a_very_long_path_is_no_obstacle(folder: Path) -> None:
    """A unix socket's path may have 107 bytes."""
    directory = folder / ("long-" * 20) / ".mindscript"
    with embedded_postgres(directory, settings=FAST) as server:
        assert answers(server.dsn)
        socket_folder = Path(server.dsn.split("host=")[1].replace("%2F", "/"))
    eventually(lambda: not servers_of(directory))
    shutil.rmtree(socket_folder)


@pytest.mark.further
def test_an_interrupted_initdb_leaves_nothing_that_looks_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = folder / "interrupted"

    def killed(command: list[str], owner: object, *, cwd: Path) -> None:
        (cwd / "PG_VERSION").write_text("18\n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_as_owner", killed)
        with pytest.raises(KeyboardInterrupt), embedded_postgres(directory, settings=FAST):
            pass
    with embedded_postgres(directory, settings=FAST) as server:
        assert answers(server.dsn)
    eventually(lambda: not servers_of(directory))


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="no_such_setting"),
        embedded_postgres(directory, settings={"no_such_setting": "1"}),
    ):
        pass
    assert not servers_of(directory)


def test_without_the_wheel_it_names_the_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(ConfigurationError, match=r"DATABASE_URL and SUPABASE_URL .* \[local\]"),
        embedded_postgres(folder / "none"),
    ):
        pass


def test_a_folder_that_cannot_be_made(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot live there"), embedded_postgres(folder / "file" / "x"):
        pass
