"""DATABASE_URL: what people paste is understood or refused in plain words, and no message holds a piece of it."""

from __future__ import annotations

import re
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.queue.address import explained, read
from worker.queue.listener import why_polling
from worker.queue.migrate import migrate
from worker.queue.postgres import connect
from worker.queue.service import open_queue

DIRECT = "db.abcdefghijklmnop.supabase.co"
POOLER = "aws-0-eu-central-1.pooler.supabase.com"


def keywords(dsn: str) -> dict[str, object]:
    return dict(conninfo_to_dict(read(dsn).conninfo))


def refusal(dsn: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read(dsn)
    assert raised.value.code == "configuration.variable"
    assert raised.value.message.startswith("DATABASE_URL: ")
    assert "\n" not in raised.value.message
    return raised.value.message


@pytest.mark.parametrize(
    "parameters",
    [
        "pgbouncer=true",
        "pgbouncer=true&connection_limit=1",
        "connection_limit=10&pool_timeout=30&socket_timeout=5",
        "schema=public",
        "sslmode=require&supa=base-pooler.x",
        "workaround=supabase-pooler.vercel",
        "statement_cache_size=0&prepared_statements=false",
        "sslaccept=accept_invalid_certs",
        "uselibpqcompat=true&sslmode=require",
        "prepareThreshold=0&currentSchema=public",
        "default_query_exec_mode=simple_protocol",
        "sslmode=require?pgbouncer=true",
        "pgbouncer",
        "",
    ],
)
def test_parameters_of_other_drivers_are_left_out(parameters: str) -> None:
    found = keywords(f"postgresql://u:p@{POOLER}:6543/postgres?{parameters}")
    assert found.pop("sslmode", "require") == "require"
    assert found == {"user": "u", "password": "p", "host": POOLER, "port": "6543", "dbname": "postgres"}


def test_parameters_that_libpq_knows_are_kept() -> None:
    found = keywords(
        "postgresql://u:p@h/d?application_name=a%20b&pgbouncer=true&options=-c%20search_path%3Dapp&sslmode=verify-ca"
    )
    assert found["application_name"] == "a b"
    assert found["options"] == "-c search_path=app"
    assert found["sslmode"] == "verify-ca"


@pytest.mark.parametrize(
    ("given_by_others", "for_libpq"),
    [
        ("ssl=true", {"sslmode": "require"}),
        ("ssl=require", {"sslmode": "require"}),
        ("ssl=no-verify", {"sslmode": "require"}),
        ("ssl=false", {"sslmode": "disable"}),
        ("sslmode=no-verify", {"sslmode": "require"}),
        ("sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslaccept=strict&sslrootcert=ca.crt", {"sslmode": "verify-full", "sslrootcert": "ca.crt"}),
    ],
)
def test_what_others_ask_for_by_way_of_tls_is_translated(given_by_others: str, for_libpq: dict[str, str]) -> None:
    found = keywords(f"postgresql://u:p@h/d?{given_by_others}")
    assert {name: value for name, value in found.items() if name.startswith("ssl")} == for_libpq


@pytest.mark.parametrize("parameter", ["sslmod=require", "SSLMODE=require", "sslmode=requrie", "ssl=yes", "tls=1"])
def test_a_misspelt_wish_for_encryption_is_not_lost(parameter: str) -> None:
    assert re.search("encryption|sslmode", refusal(f"postgresql://u:p@h/d?{parameter}"))


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://u:p@h:1/d",
        "postgresql://u:p@h:1/d",
        "postgresql+psycopg://u:p@h:1/d",
        "postgresql+asyncpg://u:p@h:1/d",
        "POSTGRES://u:p@h:1/d",
        "pgsql://u:p@h:1/d",
        "jdbc:postgresql://h:1/d?user=u&password=p",
        "host=h port=1 user=u password=p dbname=d",
        "  postgresql://u:p@h:1/d\n",
        '"postgresql://u:p@h:1/d"',
        "'postgresql://u:p@h:1/d' ",
        "“postgresql://u:p@h:1/d”",
        "DATABASE_URL=postgresql://u:p@h:1/d",
        "export DATABASE_URL='postgresql://u:p@h:1/d'",
    ],
)
def test_every_way_to_write_the_same_address(dsn: str) -> None:
    assert keywords(dsn) == {"user": "u", "password": "p", "host": "h", "port": "1", "dbname": "d"}


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("ge@heim", ["@ is %40"]),
        ("ge/heim", ["/ is %2F"]),
        ("ge@he/im?#", ["characters", "@ is %40", "/ is %2F", "? is %3F", "# is %23"]),
        ("100%heim", ["% is %25"]),
        ("ge heim", ["a space is %20"]),
        ("ge\nheim", ["a line break is %0A"]),
        ("ge\u200bheim", ["an invisible character is %E2%80%8B"]),
        ("@", ["@ is %40"]),
    ],
)
@pytest.mark.parametrize("rest", ["127.0.0.1/x", "h:5432/postgres?pgbouncer=true", "h", "[::1]:5432/d?sslmode=require"])
def test_a_raw_character_in_the_password_is_named(password: str, words: list[str], rest: str) -> None:
    message = refusal(f"postgresql://postgres:{password}@{rest}")
    assert "percent-encoded" in message
    assert all(word in message for word in words)
    assert "heim" not in message


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("", "empty"),
        ("''", "empty"),
        ("$DATABASE_URL", "variable"),
        ("${DATABASE_URL}", "variable"),
        ("${{Postgres.DATABASE_URL}}", "variable"),
        ("%DATABASE_URL%", "variable"),
        ("postgresql://u:$PGPASSWORD@h/d", "variable"),
        ("postgresql://u:${PGPASSWORD}@h/d", "variable"),
        ("postgresql://postgres:[YOUR-PASSWORD]@h/d", "placeholder"),
        ("postgresql://postgres:[the-real-one]@h/d", "brackets"),
        ("postgresql://postgres:<password>@h/d", "placeholder"),
        ("postgresql://postgres:YOUR_PASSWORD@h/d", "placeholder"),
        ("postgresql://postgres:p@aws-0-[REGION].pooler.supabase.com/d", "placeholder"),
        ("postgresql://postgres.[PROJECT-REF]:p@h/d", "placeholder"),
        ("user=u \npassword=[YOUR-PASSWORD] \nhost=h", "placeholder"),
        ("postgres:secret@h:5432/d", "does not begin with postgresql://"),
        ("h:5432/d", "does not begin with postgresql://"),
        ("//u:p@h/d", "does not begin with postgresql://"),
        ("https://abc.supabase.co", "SUPABASE_URL"),
        ("psql -h h -p 5432 -d postgres -U postgres", "psql"),
        ("psql 'postgresql://u:p@h/d'", "psql"),
        ("User Id=u;Password=p;Server=h;Port=5432", ".NET"),
        ("'postgresql://u:p@h/d", "quote"),
        ("postgresql://postgres:secret", "port"),
        ("postgresql://u:p@h:99999/d", "port"),
        ("postgresql://u:p@h:5432x/d", "port"),
        ("postgresql://u:p@h h/d", "space"),
        ("postgresql://u:p@h%zz/d", "broken %"),
        ("postgresql://u:p@h!h/d", "host"),
        ("host=h password=my secret", "not a Postgres address"),
        ("host=h hostt=h", "not a Postgres address"),
        ("postgresql://u:p@h/d?connect_timeout=soon", "connect_timeout"),
    ],
)
def test_what_is_no_address_is_refused_in_plain_words(dsn: str, words: str) -> None:
    message = refusal(dsn)
    assert words in message
    assert not re.search("secret|the-real-one|99999|soon", message)


@pytest.mark.parametrize("password", ["$tr0ng", "a[b]c", "{x}", "50%25", "p:w", "p#w", "p?w", "p&a=b", "ä", "'\\\""])
def test_a_password_that_only_looks_odd_is_taken(password: str) -> None:
    shown = "50%" if password == "50%25" else password
    assert keywords(f"postgresql://u:{password}@h:5432/d?pgbouncer=true")["password"] == shown


@pytest.mark.parametrize(
    ("dsn", "kind"),
    [
        (f"postgresql://postgres:p@{DIRECT}:5432/postgres", "direct"),
        (f"postgresql://postgres:p@{DIRECT}/postgres", "direct"),
        (f"postgresql://postgres:p@{DIRECT}:6543/postgres", "transaction pooler"),
        (f"postgres://postgres.abc:p@{POOLER}:5432/postgres?pgbouncer=true", "session pooler"),
        (f"postgres://postgres.abc:p@{POOLER.upper()}:6543/postgres", "transaction pooler"),
        (f"postgres://postgres.abc:p@{POOLER}/postgres", "session pooler"),
        ("postgresql://u@localhost:6543/d", "transaction pooler"),
        ("postgresql://u@localhost/d", "other"),
        ("postgresql://u@/d?host=/tmp", "other"),
        ("postgresql:///d", "other"),
        ("postgresql://u@a:6543,b:5432/d", "transaction pooler"),
        (f"postgresql://u@{DIRECT}.example.com/d", "other"),
    ],
)
def test_what_stands_behind_an_address(dsn: str, kind: str) -> None:
    assert read(dsn).kind == kind


def test_an_address_does_not_show_its_password() -> None:
    assert "secret" not in repr(read("postgresql://u:secret@h/d"))


@pytest.mark.parametrize(
    "libpq_says",
    [
        f'could not translate host name "{DIRECT}" to address: Name or service not known',
        f"[Errno -5] No address associated with hostname: '{DIRECT}'",
        f'connection to server at "{DIRECT}" (2a05:d014::1), port 5432 failed: Network is unreachable',
        "connection timeout expired",
    ],
)
def test_a_direct_address_without_ipv6_names_the_session_pooler(libpq_says: str) -> None:
    message = explained(libpq_says, read(f"postgresql://postgres:p@{DIRECT}:5432/postgres").conninfo)
    assert libpq_says in message
    assert "IPv6" in message
    assert "ession pooler" in message
    elsewhere = explained(libpq_says, read("postgresql://postgres:p@db.example.com/postgres").conninfo)
    assert elsewhere == libpq_says
    refused = explained('password authentication failed for user "postgres"', read(f"postgres://u@{DIRECT}/d").conninfo)
    assert "IPv6" not in refused


def test_the_explanation_is_in_what_the_worker_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(f"failed to resolve host '{DIRECT}': [Errno -2] Name or service not known")

    monkeypatch.setattr(psycopg.Connection, "connect", unreachable)  # no test asks a real name server
    dsn = f"postgresql://postgres:QXZJ@{DIRECT}:5432/postgres"
    for use in (
        lambda: open_queue(Config(database_url=SecretStr(dsn)), worker_name="w"),
        lambda: migrate(dsn),
        lambda: why_polling(dsn, application="w"),
    ):
        with pytest.raises(WorkerError, match=r"IPv6 only.*ession pooler"):
            use()


def test_a_pooler_that_knows_no_such_user_says_how_users_are_called_there() -> None:
    message = explained("FATAL: Tenant or user not found", read(f"postgres://postgres:p@{POOLER}:5432/d").conninfo)
    assert "postgres.PROJECT-REF" in message


# Letters that no message of ours or of libpq has two of side by side.
SECRET_LETTERS = "QXZJKWV"
MARKS = "@/#?% :&=$[]{}<>'\"\\;,.\n\t+-~ä\u200b"
PASSWORDS = st.text(alphabet=SECRET_LETTERS + MARKS, min_size=4, max_size=24)
FORMS = [
    "postgresql://postgres:{}@127.0.0.1:9/postgres",
    "postgres://postgres.abc:{}@127.0.0.1:9/postgres?pgbouncer=true&connection_limit=1",
    "postgresql://postgres:{}@127.0.0.1:9",
    "'postgresql://postgres:{}@127.0.0.1:9/postgres",
    "postgres:{}@127.0.0.1:9/postgres",
    "postgresql:/postgres:{}@127.0.0.1:9/postgres",
    "postgresql://postgres:{}",
    "postgresql://{}@127.0.0.1:9/postgres",
    "postgresql://127.0.0.1:9/postgres?user=u&password={}",
    "postgresql://127.0.0.1:9/postgres?password={}&sslmode=prefer",
    "host=127.0.0.1 port=9 user=u password={}",
    "host=127.0.0.1 port=9 password='{}' user=u",
    "psql postgresql://postgres:{}@127.0.0.1:9/postgres",
    "User Id=u;Password={};Server=h",
    "{}",
]


def leaks(message: str, secret: str) -> bool:
    pieces = re.findall(f"[{SECRET_LETTERS}]{{2,}}", secret)
    return any(piece[i : i + 2] in message for piece in pieces for i in range(len(piece) - 1))


@given(secret=PASSWORDS, form=st.sampled_from(FORMS), cut=st.integers(0, 80), stray=st.sampled_from(["", *MARKS]))
@example(secret="QX@ZJ", form=FORMS[0], cut=80, stray="")
@example(secret="QX/ZJ", form=FORMS[0], cut=80, stray="")
@example(secret="QX%ZJ", form=FORMS[0], cut=80, stray="")
@example(secret="QX ZJ", form=FORMS[10], cut=80, stray="")
@example(secret="QXZJ", form=FORMS[6], cut=80, stray="")
@settings(max_examples=600, deadline=None)
def test_no_message_holds_a_piece_of_the_password(secret: str, form: str, cut: int, stray: str) -> None:
    dsn = form.format(secret)
    assert not leaks(what_is_said_of(dsn[:cut] + stray + dsn[cut:]), secret)


def what_is_said_of(dsn: str) -> str:
    """The error of an address that cannot be read, or of the connection that nobody takes."""
    try:
        address = read(dsn)
        if address.host == "127.0.0.1" and address.port == 9:  # no other is looked up
            connect(address.conninfo, application="test").close()
    except (ConfigurationError, psycopg.Error) as error:
        return str(error)
    return ""


@given(secret=PASSWORDS)
@settings(max_examples=200, deadline=None)
def test_psycopg_s_own_words_are_masked_whatever_they_quote(secret: str) -> None:
    conninfo = psycopg.conninfo.make_conninfo("", host="127.0.0.1", port=9, user="u", password=secret)
    for quoted in (secret, quote(secret, safe="")):
        assert not leaks(explained(f'invalid something: "{quoted}"', conninfo), secret)


def test_every_command_that_connects_refuses_in_the_same_words() -> None:
    dsn = "postgresql://postgres:ge@heim@127.0.0.1/x"
    for use in (lambda: open_queue(Config(database_url=SecretStr(dsn)), worker_name="w"), lambda: migrate(dsn)):
        with pytest.raises(WorkerError) as raised:
            use()
        assert raised.value.message == refusal(dsn)
