"""Small jobs that behave, or misbehave, as their payload asks; run by a real worker in place of a render.

``{"do": "sleep", "seconds": 2}``, or several deeds: ``{"do": ["sleep", "kill self"]}``. With ``"attempts": 1`` only the
first attempt misbehaves. What a job "uploads" is a line in a file, so that a test can see when, and whether.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from worker import errors
from worker.config import Config
from worker.ffmpeg.program import FOUND_FFMPEGS
from worker.job import large_modules
from worker.job.channel import Channel
from worker.job.messages import JobInput, JobOutput
from worker.tts.places import one_place

PERFORM = "standins.jobs:perform"
_STEP_S = 0.05
_LOADED_BY = os.getpid()


def perform(job_input: JobInput, config: Config, channel: Channel, folder: Path) -> JobOutput:
    """Do what the payload says, then publish."""
    payload = job_input.payload
    had = sorted(large_modules.loaded())
    deeds = payload.get("do", "nothing")
    if "length" in payload:
        channel.length(float(payload["length"]))
    if job_input.attempt <= int(payload.get("attempts", 1_000_000)):
        for deed in [deeds] if isinstance(deeds, str) else deeds:
            _DEEDS[deed](job_input, channel, folder)
    if "ledger" in payload:
        channel.may_publish()
        with Path(str(payload["ledger"])).open("a") as ledger:
            ledger.write(f"{job_input.job_id} {job_input.attempt} {time.time()}\n")
    if "upload" in payload:
        bucket, key = str(payload["upload"]).split("/", 1)
        target = config.storage_dir / bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"track")
        channel.uploaded(bucket, key)
        time.sleep(float(payload.get("linger", 0)))
    path = f"audio-renders/tracks/{job_input.track_id}/{job_input.job_id}-0.mp3"
    return JobOutput(
        {"url": path, "audioUrl": path},
        {"audio_url": path, "status": "published"},
        {
            "stages": {"sleep": float(payload.get("seconds", 0))},
            "lufs": -16.0,
            "dbtp": -1.5,
            "loaded_by": _LOADED_BY,
            "had": had,
            "threads": config.render_threads,
            "ffmpegs": [found.version for found in FOUND_FFMPEGS.values()],
        },
    )


def _nothing(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del job_input, channel, folder


def _load(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del job_input, channel, folder
    import websockets.sync.client  # noqa: F401 - a large module


def _sleep(job_input: JobInput, channel: Channel, folder: Path) -> None:
    seconds = float(job_input.payload.get("seconds", 1))
    started = time.monotonic()
    while (gone := time.monotonic() - started) < seconds:
        channel.progress(int(90 * gone / seconds), "Sleeping")
        time.sleep(min(_STEP_S, seconds))
    (folder / "sheet").write_bytes(b"z" * 1000)


def _wait(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """Until a file is there: for a test that decides itself when the job goes on."""
    del folder
    while not Path(str(job_input.payload["until"])).exists():
        channel.progress(50, "Waiting")
        time.sleep(_STEP_S)


def _silent(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    time.sleep(float(job_input.payload.get("seconds", 1)))


def _kill_self(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    os.kill(os.getpid(), int(job_input.payload.get("signal", signal.SIGKILL)))


def _segfault(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del job_input, channel, folder
    ctypes.string_at(0)


def _exit(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    os._exit(int(job_input.payload.get("code", 3)))


def _allocate(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """Take memory until a limit is reached, in steps that are small beside any limit."""
    del job_input, folder
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1) * (4 << 20)))
        channel.progress(min(99, len(kept)), "Allocating")


def _allocate_apart(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """The same in several processes, none of which is large."""
    del job_input, channel, folder
    eat = "x = bytearray(b'1') * (40 << 20); import time; time.sleep(600)"
    while True:
        subprocess.Popen([sys.executable, "-c", eat])
        time.sleep(0.05)


def _kill_parent(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """Kill the fork server."""
    del job_input, channel, folder
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.5)


def _kill_worker(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """Kill the worker itself: the fork server's parent."""
    del job_input, channel, folder
    fork_server = Path(f"/proc/{os.getppid()}/stat").read_text()
    os.kill(int(fork_server.rpartition(")")[2].split()[1]), signal.SIGKILL)
    time.sleep(60)


def _family(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """Start a process in a group of its own, like FFmpeg, write its id down, and wait."""
    process = subprocess.Popen(["sleep", "600"], process_group=0)
    Path(str(job_input.payload["note"])).write_text(f"{os.getpid()} {process.pid}")
    _sleep(job_input, channel, folder)


def _fail(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """Fail, until there is the file `fixed_by`."""
    del channel, folder
    payload = job_input.payload
    if "fixed_by" in payload and Path(str(payload["fixed_by"])).exists():
        return
    kind = getattr(errors, str(payload["error"]))
    about = {"about": payload["about"]} if "about" in payload else {}
    message, retry_after_s = payload.get("message", "as asked"), payload.get("retry_after_s")
    if isinstance(message, list):  # of words: as one text it would be the customer's, and be masked
        message = " ".join(message)
    raise kind(message, code="test.asked", retry_after_s=retry_after_s, **about)


def _hold_place(job_input: JobInput, channel: Channel, folder: Path) -> None:
    """Wait for one of two places of an account, and keep it while the job sleeps."""
    with one_place(channel, "account", 2, deadline=time.monotonic() + 60, wait=time.sleep) as is_taken:
        if not is_taken:
            raise errors.WaitError("no place")
        _sleep(job_input, channel, folder)


def _bug(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    raise KeyError(str(job_input.payload.get("script", "nothing")))


def _full_disk(job_input: JobInput, channel: Channel, folder: Path) -> None:
    del job_input, channel, folder
    raise OSError(28, "No space left on device")


_DEEDS = {
    "nothing": _nothing,
    "load": _load,
    "sleep": _sleep,
    "wait": _wait,
    "silent": _silent,
    "kill self": _kill_self,
    "segfault": _segfault,
    "exit": _exit,
    "allocate": _allocate,
    "allocate apart": _allocate_apart,
    "kill parent": _kill_parent,
    "kill worker": _kill_worker,
    "family": _family,
    "fail": _fail,
    "bug": _bug,
    "hold place": _hold_place,
    "full disk": _full_disk,
}
