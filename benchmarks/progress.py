"""`python -m benchmarks.progress`: how far the percent of a job is from the share of its time that is over.

Four jobs go from their payload to storage, as in a job process: a voice of this machine, a voice service (a stand-in
that takes a second for each piece) with an upload, a recording, and a list of sixteen layers. For each stage: what the
row's `progress` said when it ended, and how much of the job's time was over by then.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import soundfile
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from standins.speech import speech_service
from standins.supabase import supabase_standin

from benchmarks.layers import tones_and_noises
from benchmarks.material import MUSIC, RATE, voice
from worker.config import Config
from worker.job.channel import Channel
from worker.job.messages import JobInput, Message, Progress
from worker.job.run import run_job
from worker.render import stages

_PIECE_TAKES_S = 1.0
_LINES = 24
_USER = "user"
_MIX = {
    "backgroundMusic": {"url": MUSIC.name},
    "solfeggio": {"hz": 528},
    "binaural": {"band": "theta"},
    "safety": {"targetLufs": -16},
}
_SCRIPT = "\n".join(f"This is line number {number} of a calm script." for number in range(1, _LINES + 1))
JOBS: dict[str, dict[str, Any]] = {
    "local voice, 2 min mp3": {
        **_MIX,
        "script": "I am calm. I am safe. I trust the rhythm of my breath. With every breath I let go a little more.",
        "voice": {"provider": "local"},
        "durationMin": 2,
        "outputFormat": "mp3",
    },
    "voice service, 10 min m4a": {**_MIX, "script": _SCRIPT, "durationMin": 10, "outputFormat": "m4a"},
    "recording, 5 min flac": {
        **_MIX,
        "voice": {"provider": "uploaded", "url": f"{_USER}/voice.wav"},
        "durationMin": 5,
        "outputFormat": "flac",
    },
    "sixteen tones and noises, 3 min mp3": {"durationMin": 3, "layers": list(tones_and_noises(16))},
}


@dataclass(frozen=True)
class Told:
    """What was reported, and when: seconds since the job began."""

    at_s: float
    percent: int
    stage: str


class NotedChannel(Channel):
    """The job's end of a channel that nobody listens to."""

    def __init__(self) -> None:
        self._last = None
        self.told: list[Told] = []
        self._started_at = time.perf_counter()

    def send(self, message: Message) -> None:
        """Note a report of progress."""
        if isinstance(message, Progress):
            self.told.append(Told(time.perf_counter() - self._started_at, message.percent, message.stage))

    def _ask(self, question: object) -> Any:
        return "held"

    def track_row(self) -> None:
        """None: the job has no track."""

    def take(self, account: str, most: int, place: str) -> bool:
        """All the places that it wants."""
        return True


def main() -> None:
    """Run the jobs, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as cache:
        run(JOBS[next(iter(JOBS))], Path(cache))  # the machine's pace is remembered from job to job
        runs = {name: run(payload, Path(cache)) for name, payload in JOBS.items()}
    for name, (told, whole_s) in runs.items():
        figures[name] = rows = table(told, whole_s)
        print(f"\n{name}: {whole_s:.1f} s; worst at any time: {worst(told, whole_s):.0f} points\n")
        print("| stage | ended at % of the time | percent said | off by |\n|---|---:|---:|---:|")
        for stage, share, percent in rows:
            print(f"| {stage} | {share:.0f} | {percent} | {abs(percent - share):.0f} |")
        falls = sum(after.percent < before.percent for before, after in pairwise(told))
        if falls:
            print(f"\nthe percent fell {falls} times")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def run(payload: dict[str, Any], cache: Path) -> tuple[list[Told], float]:
    """Run a job whose speech is in no cache; all that it reported, and how long it took."""
    shutil.rmtree(cache / "speech", ignore_errors=True)
    with _services(cache) as (config, folder):
        channel = NotedChannel()
        started = time.perf_counter()
        run_job(JobInput("job", None, _USER, json.dumps(payload)), config, channel, folder)
        return channel.told, time.perf_counter() - started


def table(told: list[Told], whole_s: float) -> list[tuple[str, float, int]]:
    """For each stage that takes time: the share of the job's time at its end, in percent, and the percent then."""
    rows = []
    for at, report in enumerate(told):
        after = told[at + 1] if at + 1 < len(told) else Told(whole_s, report.percent, "")
        if after.stage != report.stage and (report.stage not in _MOMENTS or not after.stage):
            rows.append((report.stage, 100 * after.at_s / whole_s, after.percent))
    return rows


def worst(told: list[Told], whole_s: float) -> float:
    """The largest difference, in points, at any moment: just before and after each report."""
    found, percent = 0.0, 0
    for report in told:
        share = 100 * report.at_s / whole_s
        found, percent = max(found, abs(percent - share), abs(report.percent - share)), report.percent
    return max(found, abs(percent - 100))


_MOMENTS = (
    stages.SPOKEN,
    stages.MUSIC_READY,
    stages.SOLFEGGIO,
    stages.BINAURAL,
    stages.MIXED,
    stages.PREVIEWED,
    stages.FINALIZING,
)


@contextmanager
def _services(cache: Path) -> Iterator[tuple[Config, Path]]:
    with ExitStack() as stack:
        project = stack.enter_context(supabase_standin())
        speech = stack.enter_context(speech_service())
        speech.takes_s = _PIECE_TAKES_S
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mindscript-bench-")))
        soundfile.write(folder / "voice.wav", voice(), RATE, "PCM_16")
        project.storage.put("background-music", MUSIC.name, MUSIC.read_bytes())
        project.storage.put("voice-uploads", f"{_USER}/voice.wav", (folder / "voice.wav").read_bytes())
        project.storage.buckets["audio-renders"].allowed_mime_types = None
        yield (
            Config(
                supabase_url=project.url,
                supabase_service_role_key=SecretStr(project.key),
                openai_api_key=SecretStr("sk-test"),
                openai_base_url=f"{speech.url}/v1",
                cache_dir=cache,
                max_script_characters=100_000,
            ),
            folder,
        )


if __name__ == "__main__":
    main()
