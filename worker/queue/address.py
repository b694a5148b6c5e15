"""DATABASE_URL: parsed as people paste it, rejected without showing any of it, and sorted by the server behind it.

libpq takes an address literally and quotes what it cannot parse, which may be part of the password. So an address is
parsed here first, and libpq gets sound keywords. No message raised here holds any part of the address but public
names: Supabase's host names and libpq's keywords.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, unquote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from worker.config import bare, is_unreplaced
from worker.errors import ConfigurationError

_TRANSACTION_POOLER_PORT = 6543
_DEFAULT_PORT = 5432
_SUPABASE_DIRECT = re.compile(r"db\.[a-z0-9-]+\.supabase\.[a-z]+")
_SUPABASE_POOLER = re.compile(r"[a-z0-9-]+\.pooler\.supabase\.[a-z]+")
_EXPECTED = "expected postgresql://USER:PASSWORD@HOST:5432/DATABASE"

# postgres://, SQLAlchemy's postgresql+psycopg://, JDBC's jdbc:postgresql://, and Laravel's and Django's pgsql://
_SCHEME = re.compile(r"(?:jdbc:)?(?:postgres|postgresql|pgsql|psql)(?:\+\w+)?://", re.IGNORECASE)
_NAME_BEFORE_IT = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*\s*=\s*(?=['\"]?(?:jdbc:)?(?:postgres|pgsql|psql))")
_PLACEHOLDER = re.compile(r"\[.*\]|<.*>|(?:YOUR|DB|DATABASE|YOUR[-_ ]DB|YOUR[-_ ]DATABASE)[-_ ]PASSWORD", re.IGNORECASE)
_BRACKETS_LEFT = re.compile(r"\[[A-Za-z][A-Za-z _-]*\]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+(?:%\w+)?|[/@].*")
_PARAMETER_END = re.compile(r"&|\?(?=[A-Za-z_]+=)")  # some append a second ?name=value
_SHORTEST_MASKED = 3

_KEYWORDS = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# A parameter that libpq does not know belongs to another driver or to an ORM (pgbouncer, connection_limit, supa,
# schema, …) and means nothing here; one that asks for encryption does, and must not be lost with them.
_SECURITY = re.compile(r"ssl|tls|gss|krb|channel|require|verify", re.IGNORECASE)
_SECURITY_OF_OTHERS = ("sslidentity", "sslinline")  # Prisma's and lib/pq's, of use only beside files named there
_SSL = {"true": "require", "1": "require", "no-verify": "require", "false": "disable", "0": "disable"}
_OTHER_FORMS = {
    r"https?://": "begins with http: that is the project's SUPABASE_URL",
    r"psql\s": "is a psql command; take the dashboard's URI",
    r"(?=.*;)(?:.*;)?\s*(?:server|host|user id|username)\s*=": "is in the form of .NET; take the dashboard's URI",
    r"[^=]*$": "does not begin with postgresql://",
}
_MARK_NAMES = {" ": "a space", "\n": "a line break", "\r": "a carriage return", "\t": "a tab"}
_UNREACHABLE = (
    "could not translate host name",
    "failed to resolve host",
    "Name or service not known",
    "No address associated with hostname",
    "Network is unreachable",
    "No route to host",
    "Cannot assign requested address",
    "timeout expired",
    "Connection timed out",
)


@dataclass(frozen=True)
class Address:
    """A valid address of a database.

    `conninfo` has keywords for libpq, the password among them. `kind` is as far as Supabase's host names and ports
    tell; "other" may be a pooler, too. `host` and `port` are the first of several; None: libpq's default.
    """

    conninfo: str = field(repr=False)
    kind: Literal["direct", "session pooler", "transaction pooler", "other"]
    host: str | None
    port: int


def read(dsn: str) -> Address:
    """Take DATABASE_URL apart.

    Quotes and white space around it, the variable's own name before it, the schemes and parameters of other drivers
    are understood. `sslmode` of the address wins over the variable PGSSLMODE, as everywhere with libpq.

    Parameters
    ----------
    dsn : str
        An URL, or libpq's ``host=… user=…``.

    Raises
    ------
    ConfigurationError
        It is no address, or the password has a character that must be percent-encoded. The message holds nothing of
        the address.
    """
    text = _bare(dsn)
    if not text:
        raise _wrong(f"is empty; {_EXPECTED}")
    scheme = _SCHEME.match(text)
    keywords = _keywords_of_conninfo(text) if scheme is None else _keywords_of_url(text[scheme.end() :])
    _check_values(keywords)
    hosts, ports = (str(keywords.get(name) or "").split(",") for name in ("host", "port"))
    host, port = hosts[0].lower(), int(ports[0] or _DEFAULT_PORT)
    kind: Literal["direct", "session pooler", "transaction pooler", "other"] = "other"
    if port == _TRANSACTION_POOLER_PORT:
        kind = "transaction pooler"
    elif _SUPABASE_POOLER.fullmatch(host):
        kind = "session pooler"
    elif _SUPABASE_DIRECT.fullmatch(host):
        kind = "direct"
    return Address(conninfo=make_conninfo("", **keywords), kind=kind, host=hosts[0] or None, port=port)


def explained(message: str, conninfo: str) -> str:
    """libpq's message about a failed connection, in one line without the password, with advice for Supabase's hosts."""
    try:
        keywords = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        return "not a Postgres address"
    password = str(keywords.get("password") or "")
    for secret in (quote(password, safe=""), password):
        if len(secret) >= _SHORTEST_MASKED:
            message = message.replace(secret, "***")
    message = " ".join(message.split()) or "no connection"
    host = str(keywords.get("host") or "").split(",")[0].lower()
    if _SUPABASE_DIRECT.fullmatch(host) and any(words in message for words in _UNREACHABLE):
        return (
            f"{message}; Supabase's direct address has IPv6 only, which this network (as Heroku's) may not have: take "
            "the session pooler's, user postgres.PROJECT-REF, host ….pooler.supabase.com, port 5432 (dashboard: "
            "Connect, Session pooler)"
        )
    if _SUPABASE_POOLER.fullmatch(host) and "enant or user not found" in message:
        return f"{message}; on Supabase's pooler the user is postgres.PROJECT-REF, and the host that of its region"
    return message


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"DATABASE_URL: {what}", code="configuration.variable")


def _bare(dsn: str) -> str:
    """Without white space, quotes and the variable's own name around it."""
    text = bare(_NAME_BEFORE_IT.sub("", bare(dsn), count=1))
    if text[:1] in "'\"`“‘" and text[:1]:
        raise _wrong("begins with a quote that does not end; give the address without quotes")
    if is_unreplaced(text):
        raise _wrong(f"is the name of a variable that nothing has replaced; {_EXPECTED}")
    return text


def _keywords_of_url(rest: str) -> dict[str, Any]:
    user_info, address, parameters = _taken_apart(rest)
    if user_info is not None:
        _check_user_info(user_info)
    if _BRACKETS_LEFT.search(address) or _BRACKETS_LEFT.search((user_info or "").partition(":")[0]):
        raise _wrong("a placeholder in square brackets is still in it; put the real value there")
    after = "&".join((address, *parameters))
    if _BROKEN_ESCAPE.search(after) or re.search(r"[\s\x00-\x1f\x7f]", after):
        raise _wrong(f"has a space, a line break or a broken % beside the password; {_EXPECTED}")
    url = f"postgresql://{'' if user_info is None else user_info + '@'}{address}"
    return _parsed(url, **_parameters(parameters))


def _parsed(conninfo: str, **keywords: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(conninfo, **keywords)
    except psycopg.ProgrammingError:
        raise _wrong(f"not a Postgres address; {_EXPECTED}") from None


def _taken_apart(rest: str) -> tuple[str | None, str, list[str]]:
    """User and password, host and database, parameters.

    libpq ends the password at the first @ or /. People paste passwords as they are, so here it ends at the last @ that
    no parameter holds.
    """
    head, parameters = rest, []
    for mark in re.finditer(r"\?", rest):
        pieces = _PARAMETER_END.split(rest[mark.end() :])
        if all("@" not in piece or unquote(piece.partition("=")[0]) in _KEYWORDS for piece in pieces):
            head, parameters = rest[: mark.start()], pieces
            break
    user_info, at, address = head.rpartition("@")
    return (user_info if at else None), address, parameters


def _check_user_info(user_info: str) -> None:
    user, _, password = user_info.partition(":")
    if _PLACEHOLDER.fullmatch(password):
        raise _wrong(
            "a placeholder stands where the password belongs, or its brackets were left around the password; put the "
            "password alone there, with %5B for a [ and %3C for a < of its own"
        )
    if is_unreplaced(password):
        raise _wrong(
            "the password is the name of a variable that nothing has replaced; if it is the password itself, write %24 "
            "for its $, %7B for {, %25 for %"
        )
    raw = {mark for mark in password if mark in "@/" or mark.isspace() or not mark.isprintable()}
    if _BROKEN_ESCAPE.search(password):
        raw.add("%")
    if raw:
        raw |= {mark for mark in "?#" if mark in password}  # libpq takes them, most others do not
        encoded = ", ".join(f"{_named(mark)} is {quote(mark, safe='')}" for mark in sorted(raw))
        several = "characters" if len(raw) > 1 else "a character"
        raise _wrong(f"the password has {several} that must be percent-encoded: {encoded}")
    if re.search(r"[@/\s]", user) or _BROKEN_ESCAPE.search(user):
        raise _wrong(f"the user has a character that must be percent-encoded; {_EXPECTED}")


def _named(mark: str) -> str:
    return _MARK_NAMES.get(mark, mark if mark.isprintable() else "an invisible character")


def _parameters(pieces: Iterable[str]) -> dict[str, str]:
    """The parameters that libpq knows, and other drivers' encryption parameters as libpq's."""
    kept: dict[str, str] = {}
    strict = False
    for piece in pieces:
        name, value = (unquote(part) for part in piece.partition("=")[::2])
        if name == "sslaccept":  # Prisma's
            strict = value == "strict"
        elif name == "ssl":  # JDBC's, node-postgres', asyncpg's
            kept.setdefault("sslmode", _SSL.get(value, value))
        elif name == "sslmode":
            kept["sslmode"] = "require" if value == "no-verify" else value
        elif name in _KEYWORDS:
            kept[name] = value
        elif _SECURITY.match(name) and name not in _SECURITY_OF_OTHERS:
            raise _wrong(
                "has a parameter for encryption that libpq does not know; sslmode and sslrootcert say it there"
            )
    if strict:
        kept["sslmode"] = "verify-full"
        kept.setdefault("sslrootcert", "system")
    return kept


def _keywords_of_conninfo(text: str) -> dict[str, Any]:
    for form, what in _OTHER_FORMS.items():
        if re.match(form, text, re.IGNORECASE | re.DOTALL):
            raise _wrong(f"{what}; {_EXPECTED}")
    keywords = _parsed(text)
    password = str(keywords.get("password") or "")
    if _PLACEHOLDER.fullmatch(password) or is_unreplaced(password):
        raise _wrong("a placeholder stands where the password belongs")
    return keywords


def _check_values(keywords: Mapping[str, Any]) -> None:
    """Check what libpq would reject only on connecting, and quote."""
    for port in str(keywords.get("port") or "").split(","):
        if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
            raise _wrong(f"the port is not a number from 1 to 65535 (or @HOST is missing before it); {_EXPECTED}")
    for host in str(keywords.get("host") or "").split(","):
        if host and not _HOST.fullmatch(host):
            raise _wrong(f"the host has characters that no host has; {_EXPECTED}")
    if str(keywords.get("sslmode") or "prefer") not in _SSLMODES:
        raise _wrong(f"sslmode must be one of {', '.join(_SSLMODES)}")
    for name in ("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"):
        if not re.fullmatch(r"-?[0-9]*", str(keywords.get(name) or "")):
            raise _wrong(f"{name} is not a whole number")
