"""Small jobs that behave, or misbehave, as their payload says; run by a real worker in place of a render.

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
from worker.job.run import Channel, JobInput, JobOutput

PERFORM = "standins.jobs:perform"
_STEP_S = 0.05


def perform(order: JobInput, config: Config, channel: Channel, folder: Path) -> JobOutput:
    """Do what the payload says, then publish."""
    payload = order.payload
    deeds = payload.get("do", "nothing")
    if order.attempt <= int(payload.get("attempts", 1_000_000)):
        for deed in [deeds] if isinstance(deeds, str) else deeds:
            _DEEDS[deed](order, channel, folder)
    if "ledger" in payload:
        channel.may_publish()
        with Path(str(payload["ledger"])).open("a") as ledger:
            ledger.write(f"{order.job_id} {order.attempt} {time.time()}\n")
    if "upload" in payload:
        bucket, key = str(payload["upload"]).split("/", 1)
        target = config.storage_dir / bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"track")
        channel.uploaded(bucket, key)
        time.sleep(float(payload.get("linger", 0)))
    path = f"audio-renders/tracks/{order.track_id}/{order.job_id}-0.mp3"
    return JobOutput(
        {"url": path, "audioUrl": path},
        {"audio_url": path, "status": "published"},
        {"stages": {"sleep": float(payload.get("seconds", 0))}, "lufs": -16.0, "dbtp": -1.5},
    )


def _nothing(order: JobInput, channel: Channel, folder: Path) -> None:
    del order, channel, folder


def _sleep(order: JobInput, channel: Channel, folder: Path) -> None:
    seconds = float(order.payload.get("seconds", 1))
    started = time.monotonic()
    while (gone := time.monotonic() - started) < seconds:
        channel.progress(int(90 * gone / seconds), "Sleeping")
        time.sleep(min(_STEP_S, seconds))
    (folder / "sheet").write_bytes(b"z" * 1000)


def _silent(order: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    time.sleep(float(order.payload.get("seconds", 1)))


def _kill_self(order: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    os.kill(os.getpid(), int(order.payload.get("signal", signal.SIGKILL)))


def _segfault(order: JobInput, channel: Channel, folder: Path) -> None:
    del order, channel, folder
    ctypes.string_at(0)


def _exit(order: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    os._exit(int(order.payload.get("code", 3)))


def _allocate(order: JobInput, channel: Channel, folder: Path) -> None:
    """Take memory until something gives way; in pieces that are small beside any limit."""
    del order, folder
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1) * (4 << 20)))
        channel.progress(min(99, len(kept)), "Allocating")


def _allocate_apart(order: JobInput, channel: Channel, folder: Path) -> None:
    """The same in processes of its own, none of which is large."""
    del order, channel, folder
    eat = "x = bytearray(b'1') * (40 << 20); import time; time.sleep(600)"
    while True:
        subprocess.Popen([sys.executable, "-c", eat])
        time.sleep(0.05)


def _kill_parent(order: JobInput, channel: Channel, folder: Path) -> None:
    del order, channel, folder
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.5)


def _kill_worker(order: JobInput, channel: Channel, folder: Path) -> None:
    """Kill the worker itself: the nursery's parent."""
    del order, channel, folder
    fork_server = Path(f"/proc/{os.getppid()}/stat").read_text()
    os.kill(int(fork_server.rpartition(")")[2].split()[1]), signal.SIGKILL)
    time.sleep(60)


def _family(order: JobInput, channel: Channel, folder: Path) -> None:
    """Start a process in a group of its own, as FFmpeg is, note its id and wait."""
    process = subprocess.Popen(["sleep", "600"], process_group=0)
    Path(str(order.payload["note"])).write_text(f"{os.getpid()} {process.pid}")
    _sleep(order, channel, folder)


def _fail(order: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    kind = getattr(errors, str(order.payload["error"]))
    retry_after_s = order.payload.get("retry_after_s")
    raise kind(str(order.payload.get("message", "as asked")), code="test.asked", retry_after_s=retry_after_s)


def _bug(order: JobInput, channel: Channel, folder: Path) -> None:
    del channel, folder
    raise KeyError(str(order.payload.get("script", "nothing")))


def _full_disk(order: JobInput, channel: Channel, folder: Path) -> None:
    del order, channel, folder
    raise OSError(28, "No space left on device")


_DEEDS = {
    "nothing": _nothing,
    "sleep": _sleep,
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
    "full disk": _full_disk,
}
