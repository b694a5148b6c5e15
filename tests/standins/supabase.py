"""One whole Supabase project: PostgREST over a real Postgres, Storage, and auth, under one address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from standins.http_server import App, Raw, serve
from standins.mail import Auth
from standins.postgrest import SERVICE_KEY, Postgrest
from standins.storage import Storage
from standins.storage_project import production_buckets


@dataclass(frozen=True)
class Project:
    """What is behind the address, to look into and to break."""

    url: str
    storage: Storage
    auth: Auth
    postgrest: Postgrest | None
    key: str = SERVICE_KEY


@contextmanager
def supabase_standin(dsn: str | None = None) -> Iterator[Project]:
    """Serve a project with the production buckets.

    Parameters
    ----------
    dsn : str, optional
        A superuser's, for PostgREST; without it the project has no database.
    """
    storage, auth = Storage(*production_buckets()), Auth()
    postgrest = Postgrest(dsn) if dsn else None
    apps: dict[str, App | Raw] = {"/storage/v1": storage, "/auth/v1": auth}
    if postgrest:
        apps["/rest/v1"] = postgrest
    with serve(apps) as url:
        yield Project(url, storage, auth, postgrest)
