"""Where a job's CPU goes: seconds of each part of a job in this process, and of the FFmpegs that it starts.

    python -m benchmarks.parts [--minutes 10] [--ffmpeg PROGRAM]

Each part is a function. Its calls are timed by the clock of their thread (CPU alone), without the parts that it calls
in its turn. Beside each stands its share of what a bare encoder takes for the same sound.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import os
import resource
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy, as in the worker

from benchmarks.material import prepare
from worker.allocator import keep_freed_memory
from worker.cli.main import run
from worker.ffmpeg.program import find_ffmpeg

PARTS = {
    "decode the delivered file": ("worker.codec.mp3:_decoded",),
    "loudness": ("dsp.loudness:LoudnessMeter.add", "dsp.k_weighting:KWeighting.energies"),
    "true peak": ("dsp.true_peak:TruePeak.add",),
    "tones and spectrum": ("worker.render.analysis:DeliveredAnalyzer.add",),
    "render the mix": ("dsp.plan:render_layer", "dsp.limiter:_continued", "worker.render.programme:render"),
    "read decoded inputs": ("worker.media.clip:FileClip.read",),
    "limit": ("worker.render.programme:Programme.blocks", "dsp.limiter:_needed"),
    "write to encoders": ("worker.ffmpeg.pipe:Pipe.write", "worker.ffmpeg.pipe:Pipe.take"),
    "split and join frames": (
        *("worker.codec.mp3:split_frames", "worker.codec.mp3:joined", "worker.codec.mp3:without_stuffing"),
    ),
    "fetch and decode the inputs": ("worker.render.production:Production.prepare",),
}
_JOB = ("--voice", "voice.wav", "--music", "music.flac", "--quiet", "--force")


class Clock:
    """Sums the CPU of parts, in any thread.

    Attributes
    ----------
    seconds : Counter
        By part.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done here, without what parts within count."""
        within: list[float] = self._of_thread.__dict__.setdefault("within", [])
        within.append(0.0)
        began = time.thread_time()
        try:
            yield
        finally:
            took = time.thread_time() - began
            own = took - within.pop()
            if within:
                within[-1] += took
            with self._lock:
                self.seconds[name] += own

    def watch(self, name: str, place: str) -> None:
        """Count the calls of ``module:function`` or ``module:Class.method`` as a part."""
        module, _, path = place.partition(":")
        *owners, attribute = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, attribute, self._counted(name, getattr(owner, attribute)))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*args, **options)

        @functools.wraps(function)
        def iterated(*args: Any, **options: Any) -> Iterator[Any]:
            items = function(*args, **options)
            while True:
                with self.part(name):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        return iterated if inspect.isgeneratorfunction(function) else called


def main() -> None:
    """Render a job once for its PCM, encode that, and render the job again with its parts counted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the track")
    parser.add_argument("--ffmpeg", help="the FFmpeg of both")
    options = parser.parse_args()
    ffmpeg = find_ffmpeg(options.ffmpeg)
    os.environ["FFMPEG"] = str(ffmpeg.path)
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as folder, chdir(folder):
        prepare(Path(folder), options.minutes, ffmpeg)
        _render("whole.wav")
        encode = [str(ffmpeg.path), "-nostdin", "-v", "error", "-i", "whole.wav", "-c:a", "libmp3lame", "-b:a", "192k"]
        encoder_s = _children_s(lambda: subprocess.run([*encode, "bare.mp3"], check=True, timeout=3600))
        clock = Clock()
        for name, places in PARTS.items():
            for place in places:
                clock.watch(name, place)
        began = time.process_time()
        ffmpegs_s = _children_s(lambda: _render("track.mp3", "--preview", "preview.mp3"))
        own_s = time.process_time() - began
    rows = [*clock.seconds.most_common(), ("other", own_s - clock.seconds.total())]
    rows += [("this process", own_s), ("its FFmpegs", ffmpegs_s), ("bare encoder", encoder_s)]
    for name, seconds in rows:
        print(f"{name:<28} {seconds:7.3f} s {100 * seconds / encoder_s:6.1f} %")


def _render(out: str, *more: str) -> None:
    if run(["render", "job.json", "-o", out, *_JOB, *more]):
        raise RuntimeError(f"{out} could not be made")


def _children_s(work: Callable[[], object]) -> float:
    """CPU of the processes that are started by some work, and end in it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
