"""PostgREST behind Supabase's gateway, as far as the worker meets it: the same wire forms, over a real
Postgres.

`Postgrest` answers requests below ``/rest/v1``; `standins.http_server.serve` mounts it, and other stand-ins beside
it, on one local server as a Supabase project would: ``with serve({"/rest/v1": Postgrest(dsn)}) as url:
create_client(url, SERVICE_KEY)``. Error forms and their HTTP status: PostgREST reference, "Errors".
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from production import GATEWAY
from psycopg import sql
from standins.http_server import Request, Response, as_json
from standins.keys import ANON_JWT, SERVICE_JWT, claims_of, role_of

SERVICE_KEY = SERVICE_JWT
ANON_KEY = ANON_JWT


def refused(status: int, code: str, message: str, *, details: str | None = None, hint: str | None = None) -> Response:
    """PostgREST's error body."""
    return as_json(status, {"code": code, "details": details, "hint": hint, "message": message})


def invalid_key() -> Response:
    """The gateway's, not PostgREST's: no code in it."""
    hint = "Double check your Supabase `anon` or `service_role` API key."
    return as_json(401, {"message": "Invalid API key", "hint": hint})


# "HTTP Status Codes" of the same page: by SQLSTATE, else by its class, else 400.
_STATUS = {
    "08": 503, "09": 500, "0L": 403, "0P": 403, "23503": 409, "23505": 409, "25006": 405, "25": 500,
    "28": 403, "2D": 500, "38": 500, "39": 500, "3B": 500, "40": 500, "53400": 500, "53": 503, "54": 500,
    "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500, "P0001": 400, "P0": 500,
    "42883": 404, "42P01": 404, "42P17": 500,
}  # fmt: skip


@dataclass(frozen=True)
class _Function:
    name: str
    arguments: tuple[str, ...]
    types: tuple[str, ...]
    required: int
    returns_set: bool
    returns: str


class Postgrest:
    """One project's PostgREST.

    Parameters
    ----------
    dsn : str
        Anybody's: it connects as `authenticator`, and each request runs in a transaction as the key's role, with that
        role's settings and the token's claims.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = re.sub(r"://[^@/]*@", f"://{GATEWAY}@", dsn)
        self._local = threading.local()
        self._functions: list[_Function] = []
        self._columns: dict[str, set[str]] = {}
        self._next: list[Response] = []
        self._drop_answer_to: str | None = None
        self._failing: tuple[str, int] | None = None
        self.knows_casts = True
        self.asked: list[str] = []  # "POST rpc/worker_claim", in order
        self.reload()

    def reload(self) -> None:
        """Read the schema again; until then the cache is what it was, as PostgREST's is."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            functions = connection.execute(
                """SELECT p.proname, coalesce(p.proargnames, '{}')::text[],
                          ARRAY(SELECT t.o::regtype::text
                                  FROM unnest(p.proargtypes) WITH ORDINALITY t(o, n) ORDER BY n),
                          p.pronargs - p.pronargdefaults, p.proretset, p.prorettype::regtype::text
                     FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'"""
            ).fetchall()
            columns = connection.execute(
                """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
                      AND a.attnum > 0 AND NOT a.attisdropped"""
            ).fetchall()
        self._functions = [
            _Function(name, tuple(names[: len(types)]), tuple(types), required, returns_set, returns)
            for name, names, types, required, returns_set, returns in functions
        ]
        self._columns = {}
        for table, column in columns:
            self._columns.setdefault(table, set()).add(column)

    def forget_function(self, name: str) -> None:
        """A stale cache: the function is there, but PostgREST does not know yet."""
        self._functions = [function for function in self._functions if function.name != name]

    def answer_next(self, *responses: Response) -> None:
        """Answer the next requests with these instead, without doing them."""
        self._next.extend(responses)

    def drop_answer_to(self, path: str) -> None:
        """Do the next request to `path`, and close the connection instead of answering."""
        self._drop_answer_to = path

    def __call__(self, request: Request) -> Response:
        path = request.path.strip("/")
        self.asked.append(f"{request.method} {path}")
        try:
            role = role_of(request.headers)
        except PermissionError:
            return invalid_key()
        if role is None:
            return refused(401, "PGRST301", "Expected 3 parts in JWT; got 1")
        if self._next:
            return self._next.pop(0)
        if self._is_down_for(request, path):
            return Response(0)
        try:
            response = self._answer(request, path, role)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                message = "Database connection error. Retrying the connection."
                return refused(503, "PGRST001", message, details=str(error))
            response = _sql_error(error, role)
        except psycopg.Error as error:
            response = _sql_error(error, role)
        if self._drop_answer_to == path:
            self._drop_answer_to = None
            return Response(0)
        return response

    def fail_writes_from(self, path: str, *, after: int = 0) -> None:
        """Answer no write any more, from the one to `path` on that comes after so many others to it."""
        self._failing = (path, after)

    def work_again(self) -> None:
        self._failing = None

    def _is_down_for(self, request: Request, path: str) -> bool:
        if self._failing is None or request.method in ("GET", "HEAD"):
            return False
        awaited, left = self._failing
        if path == awaited:
            self._failing = (path, left - 1)
        return (path == awaited and left <= 0) or left < 0

    def _answer(self, request: Request, path: str, role: str) -> Response:
        connection = self._connection()
        with connection.transaction():
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            connection.execute(
                """SELECT set_config('search_path', 'public, extensions', true),
                          set_config('request.jwt.claims', %s, true)""",
                (json.dumps(claims_of(request.headers)),),
            )
            connection.execute(
                """SELECT set_config(split_part(setting, '=', 1), split_part(setting, '=', 2), true)
                     FROM pg_roles, unnest(rolconfig) setting WHERE rolname = %s""",
                (role,),
            )
            if not self.knows_casts and re.search(r"::|->", request.parameter("select") or ""):
                chosen = request.parameter("select")
                return refused(400, "42703", f"column {path}.{chosen} does not exist")
            if path.startswith("rpc/"):
                return self._rpc(connection, request, path.removeprefix("rpc/"), json.loads(request.body or b"{}"))
            if path not in self._columns:
                message = f"Could not find the table 'public.{path}' in the schema cache"
                return refused(404, "PGRST205", message)
            if request.method in ("GET", "HEAD"):
                return self._read(connection, request, path)
            if request.method == "DELETE":
                return self._delete(connection, request, path)
            return self._write(connection, request, path)

    def _connection(self) -> psycopg.Connection:
        """One for each client connection, which the server serves from a thread of its own."""
        connection: psycopg.Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = psycopg.connect(self._dsn, autocommit=True)
        return connection

    def _rpc(self, connection: psycopg.Connection, request: Request, name: str, given: dict[str, Any]) -> Response:
        function = next(
            (
                f
                for f in self._functions
                if f.name == name and set(given) <= set(f.arguments) and set(f.arguments[: f.required]) <= set(given)
            ),
            None,
        )
        if function is None:
            named = ", ".join(sorted(given))
            return refused(
                404,
                "PGRST202",
                f"Could not find the function public.{name}({named}) in the schema cache"
                if given
                else f"Could not find the function public.{name} without parameters in the schema cache",
                details=f"Searched for the function public.{name} with parameters {named} or with a single "
                "unnamed json/jsonb parameter, but no matches were found in the schema cache.",
                hint=self._perhaps(name),
            )
        types = dict(zip(function.arguments, function.types, strict=True))
        call = sql.SQL("public.{}({})").format(
            sql.Identifier(name),
            sql.SQL(", ").join(
                sql.SQL("{} => {}::" + types[key]).format(sql.Identifier(key), sql.Placeholder(key)) for key in given
            ),
        )
        values = {
            key: json.dumps(value) if types[key] in ("json", "jsonb") and value is not None else value
            for key, value in given.items()
        }
        if function.returns == "void":
            connection.execute(sql.SQL("SELECT {}").format(call), values)
            return Response(204)
        if function.returns_set:
            rows = sql.SQL("SELECT coalesce(json_agg(t), '[]') FROM (SELECT {} FROM {}) t")
            query = rows.format(_selected(request), call)
        else:
            query = sql.SQL("SELECT to_json({})").format(call)
        row = connection.execute(query, values).fetchone()
        return as_json(200, row[0] if row else None)

    def _perhaps(self, name: str) -> str | None:
        for function in self._functions:
            if function.name == name:
                return f"Perhaps you meant to call the function public.{name}({', '.join(function.arguments)})"
        return None

    def _read(self, connection: psycopg.Connection, request: Request, table: str) -> Response:
        condition, values = _filters(request)
        order = request.parameter("order")
        column, _, direction = (order or "").partition(".")
        rows = "SELECT coalesce(json_agg(t), '[]')::text, count(*) FROM (SELECT {} FROM public.{} WHERE {} {} {}) t"
        query = sql.SQL(rows).format(
            _selected(request),
            sql.Identifier(table),
            condition,
            sql.SQL("ORDER BY {} {}").format(
                sql.Identifier(column), sql.SQL("DESC" if direction.startswith("desc") else "ASC")
            )
            if order
            else sql.SQL(""),
            sql.SQL("LIMIT {}").format(sql.Literal(int(request.parameter("limit") or 1_000_000))),
        )
        text, found = connection.execute(query, values).fetchone() or ("[]", 0)  # passed on as Postgres writes it
        total = "*"
        if "count=exact" in request.headers.get("prefer", ""):
            counting = sql.SQL("SELECT count(*) FROM public.{} WHERE {}").format(sql.Identifier(table), condition)
            total = str(_one(connection, counting, values))
        headers = as_json(200, [], Content_Range=f"{f'0-{found - 1}' if found else '*'}/{total}").headers
        return Response(200, b"" if request.method == "HEAD" else text.encode(), headers)

    @staticmethod
    def _delete(connection: psycopg.Connection, request: Request, table: str) -> Response:
        condition, values = _filters(request)
        if not request.query:
            return refused(400, "21000", "DELETE requires a WHERE clause")  # Supabase's safeupdate
        query = sql.SQL(
            "WITH w AS (DELETE FROM public.{} WHERE {} RETURNING *)"
            " SELECT coalesce(json_agg(t), '[]') FROM (SELECT {} FROM w) t"
        )
        rows = _one(connection, query.format(sql.Identifier(table), condition, _selected(request)), values)
        return as_json(200, rows) if "return=representation" in request.headers.get("prefer", "") else Response(204)

    def _write(self, connection: psycopg.Connection, request: Request, table: str) -> Response:
        given = json.loads(request.body)
        for column in given:
            if column not in self._columns[table]:
                message = f"Could not find the '{column}' column of '{table}' in the schema cache"
                return refused(400, "PGRST204", message)
        names = sql.SQL(", ").join(map(sql.Identifier, given))
        record = sql.SQL("SELECT {} FROM json_populate_record(NULL::public.{}, %(body)s)").format(
            names, sql.Identifier(table)
        )
        condition, values = _filters(request)
        if request.method == "POST":
            change = sql.SQL("INSERT INTO public.{} ({}) {}").format(sql.Identifier(table), names, record)
        else:
            change = sql.SQL("UPDATE public.{} SET ({}) = ({}) WHERE {}").format(
                sql.Identifier(table), names, record, condition
            )
        query = sql.SQL("WITH w AS ({} RETURNING *) SELECT coalesce(json_agg(t), '[]') FROM (SELECT {} FROM w) t")
        rows = _one(connection, query.format(change, _selected(request)), {**values, "body": json.dumps(given)})
        created = 201 if request.method == "POST" else 200
        if "return=representation" in request.headers.get("prefer", ""):
            return as_json(created, rows)
        return Response(201 if request.method == "POST" else 204)


def _one(connection: psycopg.Connection, query: sql.Composable, values: Mapping[str, Any]) -> Any:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]


_CHOSEN = re.compile(r"(?:(?P<alias>\w+):)?(?P<column>\w+)(?:->>(?P<member>\w+))?(?:::(?P<type>\w+))?")


def _selected(request: Request) -> sql.Composable:
    """``column``, ``column::type`` and ``column->>member``, each with an alias where it is given one."""
    chosen = request.parameter("select")
    if not chosen or chosen == "*":
        return sql.SQL("*")
    parts = []
    for item in chosen.split(","):
        found = _CHOSEN.fullmatch(item)
        assert found, f"the stand-in does not know how to select {item}"
        value: sql.Composable = sql.Identifier(found["column"])
        if found["member"]:
            value = sql.SQL("{} ->> {}").format(value, sql.Literal(found["member"]))
        if found["type"]:
            value = sql.SQL("({})::{}").format(value, sql.Identifier(found["type"]))
        name = found["alias"] or found["member"] or found["column"]
        parts.append(sql.SQL("{} AS {}").format(value, sql.Identifier(name)))
    return sql.SQL(", ").join(parts)


_OPERATORS = {"eq": "=", "gte": ">=", "gt": ">", "lt": "<", "lte": "<="}


def _filters(request: Request) -> tuple[sql.Composable, dict[str, Any]]:
    conditions: list[sql.Composable] = [sql.SQL("true")]
    values: dict[str, Any] = {}
    for number, (column, criterion) in enumerate(request.query):
        if column in ("select", "order", "limit", "offset", "columns"):
            continue
        operator, _, value = criterion.partition(".")
        name = sql.Identifier(column)
        if operator == "is":
            assert value == "null", criterion
            conditions.append(sql.SQL("{} IS NULL").format(name))
        elif operator == "in":
            items = [sql.Literal(item.strip('"')) for item in value.removeprefix("(").removesuffix(")").split(",")]
            conditions.append(sql.SQL("{} IN ({})").format(name, sql.SQL(", ").join(items)))
        else:
            assert operator in _OPERATORS, f"the stand-in does not know {column}={criterion}"
            values[f"f{number}"] = value
            condition = sql.SQL("{} " + _OPERATORS[operator] + " {}")
            conditions.append(condition.format(name, sql.Placeholder(f"f{number}")))
    return sql.SQL(" AND ").join(conditions), values


def _sql_error(error: psycopg.Error, role: str) -> Response:
    state = error.sqlstate or "XX000"
    status = _STATUS.get(state, _STATUS.get(state[:2], 400))
    if state == "42501":
        status = 401 if role == "anon" else 403
    diag = error.diag
    return refused(status, state, diag.message_primary or "", details=diag.message_detail, hint=diag.message_hint)
