"""`mindscript-worker work` as a process of its own, with small jobs in place of renders.

Run as a program, this is that process: the real command with another job function and other timings.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from paths import TESTS

from worker.backoff import RetryPolicy
from worker.service.heartbeat import WorkerTimings


@dataclass
class WorkerProcess:
    """A running worker.

    Attributes
    ----------
    settings : mapping
        Environment variables, such as ``DATABASE_URL``.
    lease_s : float
    """

    settings: Mapping[str, str]
    timings: WorkerTimings = field(default_factory=WorkerTimings)
    lease_s: float = 60.0
    drain: bool = False
    folder: Path | None = None
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> WorkerProcess:
        """Start it as the leader of a session, like a dyno's or a terminal's command."""
        options = {"drain": self.drain, "timings": asdict(self.timings), "lease_s": self.lease_s}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self.log = open(self.folder / f"{id(self)}.log", "w+") if self.folder else subprocess.PIPE  # noqa: PTH123, SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "standins.worker_process", json.dumps(options)],
            env={**inherited, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **self.settings},
            cwd=TESTS,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    def events(self) -> list[dict[str, Any]]:
        """The events in its log so far."""
        assert self.folder is not None
        assert not isinstance(self.log, int)
        found = []
        for line in Path(self.log.name).read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def wait_for(self, event: str, timeout_s: float = 90.0) -> dict[str, Any]:
        """Wait until it has logged an event; return that line."""
        deadline = time.monotonic() + timeout_s
        while True:
            for line in self.events():
                if line.get("event") == event:
                    return line
            assert self.process.poll() is None, f"ended before {event}: {self.text()}"
            assert time.monotonic() < deadline, f"no {event}: {self.text()}"
            time.sleep(0.02)

    def text(self) -> str:
        assert not isinstance(self.log, int)
        return Path(self.log.name).read_text()

    def family(self) -> list[psutil.Process]:
        """All processes below it."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def signal_everybody(self, number: int) -> None:
        """Send a signal to every process, as Heroku does to a dyno."""
        for process in [*self.family(), psutil.Process(self.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def worker_process(
    folder: Path,
    settings: Mapping[str, str],
    *,
    timings: WorkerTimings | None = None,
    lease_s: float = 60.0,
    drain: bool = False,
) -> Iterator[WorkerProcess]:
    """Run a worker for the length of a block; kill it at the end if it still runs."""
    worker = WorkerProcess(settings, timings or WorkerTimings(), lease_s, drain, folder).start()
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.kill()
        assert not isinstance(worker.log, int)
        worker.log.close()


def timings_of(values: Mapping[str, Any]) -> WorkerTimings:
    """The timings as `asdict` took them apart."""
    return WorkerTimings(
        **{name: RetryPolicy(**value) if isinstance(value, dict) else value for name, value in values.items()}
    )


def main() -> int:
    """Run the worker in this process."""
    from standins.jobs import PERFORM

    from worker.cli.work import work
    from worker.config import Config
    from worker.errors import WorkerError

    options = json.loads(sys.argv[1])
    try:
        return work(
            Config.from_environ(),
            drain=options["drain"],
            job=PERFORM,
            timings=timings_of(options["timings"]),
            lease_s=options["lease_s"],
        )
    except WorkerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
