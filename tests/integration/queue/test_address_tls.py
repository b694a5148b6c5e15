"""DATABASE_URL against a server with TLS and passwords: what is asked for there is what is done."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from pydantic import SecretStr
from servers import Server, postgres_server, wanted_versions

from worker.config import Config
from worker.errors import ConfigurationError
from worker.queue.address import read
from worker.queue.postgres import connect
from worker.queue.service import open_queue


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server over TLS with a self-signed certificate, that asks for passwords."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    with postgres_server(wanted_versions()[0]) as server:
        data = server.home / "data"
        owner = data.stat()
        make = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        make += ["-keyout", str(data / "server.key"), "-out", str(data / "server.crt"), "-days", "2", "-subj", "/CN=x"]
        subprocess.run(make, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        for name in ("server.key", "server.crt"):
            _give(data / name, owner.st_uid, owner.st_gid)
        (data / "pg_hba.conf").write_text("local all postgres trust\nhostssl all all all scram-sha-256\n")
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("ALTER SYSTEM SET password_encryption = 'scram-sha-256'")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("CREATE ROLE customer LOGIN")
        yield server


def _give(path: Path, uid: int, gid: int) -> None:
    path.chmod(0o600)
    shutil.chown(path, uid, gid)


def set_password(server: Server, password: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("ALTER ROLE customer PASSWORD {}").format(psycopg.sql.Literal(password)))


@pytest.mark.parametrize(
    "password", ["plain", "ge@heim", "a/b", "a?b", "a#b", "a%b", "a b", "ä'\\", "$HOME1", "[x]", ":"]
)
def test_an_encoded_password_of_any_characters_connects(guarded: Server, password: str) -> None:
    set_password(guarded, password)
    dsn = f"postgresql://customer:{quote(password, safe='')}@127.0.0.1:{guarded.port}/postgres?sslmode=require"
    with connect(read(dsn).conninfo, application="test") as connection:
        assert connection.execute("SELECT current_user AS who").fetchall() == [{"who": "customer"}]
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("password", ["a?b", "a#b", "a:b", "a&b=c", "a[b", "a$b"])
def test_a_raw_character_that_is_taken_is_read_as_it_is_meant(guarded: Server, password: str) -> None:
    set_password(guarded, password)
    dsn = f"postgresql://customer:{password}@127.0.0.1:{guarded.port}/postgres?pgbouncer=true"
    with connect(read(dsn).conninfo, application="test") as connection:
        assert connection.pgconn.ssl_in_use  # libpq prefers it


def test_sslmode_of_the_address_wins_over_the_environment(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    set_password(guarded, "plain")
    dsn = f"postgresql://customer:plain@127.0.0.1:{guarded.port}/postgres"
    monkeypatch.setenv("PGSSLMODE", "disable")
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        connect(read(dsn).conninfo, application="test")
    with connect(read(f"{dsn}?sslmode=require").conninfo, application="test") as connection:
        assert connection.pgconn.ssl_in_use
    monkeypatch.setenv("PGSSLMODE", "require")
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        connect(read(f"{dsn}?sslmode=disable").conninfo, application="test")


@pytest.mark.parametrize("asked", ["sslmode=verify-full&sslrootcert=system", "sslaccept=strict"])
def test_a_self_signed_certificate_is_refused_where_it_is_to_be_checked(guarded: Server, asked: str) -> None:
    set_password(guarded, "plain")
    dsn = f"postgresql://customer:plain@127.0.0.1:{guarded.port}/postgres?{asked}"
    with pytest.raises(psycopg.OperationalError, match="certificate"):
        connect(read(dsn).conninfo, application="test")


def test_a_wrong_password_is_a_configuration_error_without_it(guarded: Server) -> None:
    dsn = f"postgresql://customer:QXZJQXZJ@127.0.0.1:{guarded.port}/postgres?sslmode=require"
    with pytest.raises(ConfigurationError) as raised:
        open_queue(Config(database_url=SecretStr(dsn)), worker_name="w")
    assert raised.value.code == "configuration.credentials"
    assert "QXZJ" not in raised.value.message
