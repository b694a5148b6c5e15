"""A real worker as user 10001, with keys in its environment, and a taken-over decoder in FFmpeg's place."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from database import execute
from paths import ROOT
from standins.queued_jobs import CUSTOMER, customer, sound
from standins.supabase import Project, supabase_standin
from standins.taken_over_decoder import MARK, installed

USER = 10_001
KEYS = {
    "OPENAI_API_KEY": "sk-canary-openai",
    "ELEVENLABS_API_KEY": "canary-elevenlabs",
    "RESEND_API_KEY": "re_canary_resend",
    "WORKER_TOKEN": "canary-token-0123456789",
}
_JOB = {"voice": {"provider": "uploaded", "url": f"{CUSTOMER}/me.wav"}, "durationMin": 0.1}

Tries = dict[str, Any]


@dataclass
class TakenOver:
    """The folder of it all, and what stands in for the services."""

    dsn: str
    folder: Path
    project: Project
    python: Path
    aims: dict[str, Any]

    def enqueue(self, jobs: int) -> None:
        """Put jobs into the queue, each with a recording to decode."""
        user_id = customer(self.dsn)
        for _ in range(jobs):
            track_id = str(uuid.uuid4())
            execute(self.dsn, "INSERT INTO tracks (id, user_id) VALUES (%s, %s)", track_id, user_id)
            execute(
                self.dsn,
                "INSERT INTO audio_job_queue (track_id, user_id, status, payload) VALUES (%s, %s, 'pending', %s)",
                *(track_id, user_id, json.dumps(_JOB)),
            )

    def decoder(self, **aims: object) -> Path:
        """The program that is started in FFmpeg's place."""
        return installed(self.folder / "ffmpeg", self.python, {**self.aims, **aims})

    @contextlib.contextmanager
    def worker(self, ffmpeg: Path) -> Iterator[subprocess.Popen[str]]:
        """The real command, until its queue is empty."""
        command = [self.python, "-m", "worker", "work", "--drain"]
        with subprocess.Popen(
            as_user(command),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path if "packages" in path)]),
                "TMPDIR": str(self.folder / "tmp"),
                "SUPABASE_URL": self.project.url,
                "SUPABASE_SERVICE_ROLE_KEY": self.project.key,
                "CACHE_DIR": str(self.folder / "cache"),
                "FFMPEG": str(ffmpeg),
                **KEYS,
            },
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def drained(self, ffmpeg: Path, *, timeout_s: float = 250.0) -> list[Tries]:
        """Run the worker to its end; what each decoder has told."""
        with self.worker(ffmpeg) as process:
            log, _ = process.communicate(timeout=timeout_s)
        told = list(_told(log))
        assert told, log
        return told

    def beside(self, worker: subprocess.Popen[str], ffmpeg: Path) -> Tries:
        """What another program of the same user gets, outside of any sandbox, while a decoder runs."""
        deadline = time.monotonic() + 60
        family: dict[int, list[str]] = {}
        while not any(str(ffmpeg) in command and len(command) > 4 for command in family.values()):
            assert time.monotonic() < deadline
            assert worker.poll() is None, worker.communicate()
            family = {}
            for child in psutil.Process(worker.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    family[child.pid] = child.cmdline()
            time.sleep(0.01)
        pids = [worker.pid, *(pid for pid, command in family.items() if str(ffmpeg) not in command)]
        program = installed(self.folder / "beside", self.python, {**self.aims, "pids": pids})
        done = subprocess.run(
            as_user([program, "memory"]), capture_output=True, text=True, timeout=60, check=True, env={}
        )
        found: Tries = json.loads(done.stdout)
        return found


def _told(log: str) -> Iterator[Tries]:
    for line in log.splitlines():
        message = json.loads(line)["message"] if MARK in line and line.startswith("{") else ""
        if (tries := re.search(MARK + r"(\{.*?\})", message)) is not None:
            yield json.loads(tries[1])


def as_user(command: list[Any]) -> list[str]:
    """The command that runs one as user 10001, for root; anybody else stays who they are."""
    if os.getuid() != 0:
        return [str(part) for part in command]
    setpriv = shutil.which("setpriv") or "setpriv"
    # By way of a shell: setpriv itself still has root's rights when it starts a program.
    become = [setpriv, f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all"]
    return [*become, "/bin/sh", "-c", 'exec "$@"', "sh", *map(str, command)]


def _python() -> Path:
    """A Python of our version that the user can run: that of the tests may lie in root's own folder."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (os.path.realpath(sys.executable), shutil.which(name, path="/usr/bin:/usr/local/bin")):
        if found is not None and _runs(found):
            return Path(found)
    pytest.skip(f"user {USER} can run no {name} here: install one in /usr/bin")


def _runs(python: str) -> bool:
    try:
        return subprocess.run(as_user([python, "-c", "0"]), capture_output=True, cwd="/", check=False).returncode == 0
    except OSError:
        return False


@contextlib.contextmanager
def taken_over(dsn: str) -> Iterator[TakenOver]:
    """Everything that is needed, in a folder of the user's own."""
    if sys.platform != "linux":
        pytest.skip("Linux alone has seccomp, Landlock and /proc")
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed")
    python = _python()
    folder = Path(tempfile.mkdtemp(prefix="mindscript-taken-over-"))
    try:
        private = folder / "another-job.f32"
        private.write_bytes(b"a customer's voice")
        private.chmod(0o600)
        (folder / "tmp").mkdir()
        if os.getuid() == 0:
            for path in (folder, private, folder / "tmp"):
                os.chown(path, USER, USER)
        with supabase_standin(dsn) as project:
            project.storage.put("voice-uploads", f"{CUSTOMER}/me.wav", sound(1, "WAV"), "audio/wav")
            address = urlsplit(project.url)
            aims = {
                "keys": [project.key, *KEYS.values()],
                "address": (address.hostname, address.port),
                "folder": str(folder),
                "private_file": str(private),
            }
            yield TakenOver(dsn, folder, project, python, aims)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
