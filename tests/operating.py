"""Operators' commands in each way in which a worker meets its database; and rows to use them on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from database import Databases, Variant, execute
from standins.supabase import Project, supabase_standin

from worker.cli.main import run
from worker.config import VARIABLES, Config
from worker.queue.service import Queue, open_queue

WAYS = ("leased-postgres", "leased-supabase", "plain-postgres", "plain-supabase")
_LEASED = Variant("completing", "production", "payload", "enum", leased=True)
_PLAIN = Variant("lacking", "guide", "job_data", "text")


@dataclass
class Operator:
    """Somebody at a terminal: settings of a worker in the environment, commands, what they print."""

    dsn: str
    mode: str
    config: Config
    project: Project | None
    printed: pytest.CaptureFixture[str]
    settings: dict[str, str]
    """For a worker on the same database, too."""

    @property
    def column(self) -> str:
        return "payload" if self.mode == "leased" else "job_data"

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run a command, which must end with this status; what it prints on either stream."""
        os.environ.update(self.settings)  # of which a command takes the secrets out
        found = run(arguments)
        streams = self.printed.readouterr()
        assert found == status, streams
        return streams.out + streams.err

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status))

    def queue(self) -> Queue:
        return open_queue(self.config, worker_name="w")

    def track(self, title: str = "t", user_id: str | None = None, **columns: object) -> str:
        if user_id is not None:
            execute(self.dsn, "INSERT INTO auth.users (id) VALUES (%s) ON CONFLICT DO NOTHING", user_id)
        values = {"title": title, "user_id": user_id, **columns}
        query = f"INSERT INTO tracks ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))}) RETURNING id"
        return str(execute(self.dsn, query, *values.values())[0]["id"])

    def job(self, status: str = "pending", *, payload: dict[str, Any] | None = None, **columns: object) -> str:
        """Put a row in place as it would be by now."""
        values = {"status": status, self.column: json.dumps(payload or {}), **columns}
        query = f"INSERT INTO audio_job_queue ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})"
        return str(execute(self.dsn, f"{query} RETURNING id", *values.values())[0]["id"])


@pytest.fixture
def operator_at(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], Operator]]:
    """Sit down at a worker of one of `WAYS`."""
    with ExitStack() as stack:

        def at(way: str) -> Operator:
            mode, _, transport = way.partition("-")
            dsn = databases.new(_LEASED if mode == "leased" else _PLAIN)
            stack.callback(databases.release, dsn)
            for name in VARIABLES:
                monkeypatch.delenv(name.upper(), raising=False)
            settings = {"STORAGE_DIR": str(tmp_path / "out"), "CACHE_DIR": str(tmp_path / "cache")}
            project = None
            if transport == "postgres":
                settings["DATABASE_URL"] = dsn
            else:
                project = stack.enter_context(supabase_standin(dsn))
                settings |= {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_ROLE_KEY": project.key}
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            return Operator(dsn, mode, Config.from_environ(settings), project, capsys, settings)

        yield at


@pytest.fixture(params=[WAYS[0], WAYS[3], *(pytest.param(way, marks=pytest.mark.faults) for way in WAYS[1:3])])
def operator(request: pytest.FixtureRequest, operator_at: Callable[[str], Operator]) -> Operator:
    """Two of the ways by default, which have each mode and each transport; all four in `make faults`."""
    return operator_at(request.param)
