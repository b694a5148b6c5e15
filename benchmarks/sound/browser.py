"""What a browser makes of finished files: the length it tells, the frames it decodes, and where it says a seek led.

    python -m benchmarks.sound.browser [--browser PROGRAM]

Needs Chromium (Debian: `chromium-headless-shell`). Exit status 1 if one of them is not exact.
"""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from loguru import logger

from benchmarks.sound.places import FORMATS, noise_of
from benchmarks.sound.room import RATE, Room

_BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
_FRAMES = (882_001, 5_000_003)  # encoded in one, and in pieces
_TYPES = {"html": "text/html", "mp3": "audio/mpeg", "m4a": "audio/mp4", "wav": "audio/wav", "flac": "audio/flac"}
_ANSWER_S = 120
_PAGE = """<script>
const told = name => new Promise(answer => {
  const audio = new Audio(name);
  audio.onloadedmetadata = () => {
    if (isFinite(audio.duration)) audio.currentTime = audio.duration / 2;
    else answer({error: "no length"});
  };
  audio.onseeked = () => answer({duration_s: audio.duration, seek_s: audio.currentTime});
  audio.onerror = () => answer({error: audio.error.message});
});
(async () => {
  const found = {};
  for (const name of NAMES) {
    found[name] = await told(name);
    const bytes = await (await fetch(name)).arrayBuffer();
    const sound = await new OfflineAudioContext(2, RATE, RATE).decodeAudioData(bytes).catch(error => ({length: 0}));
    found[name].frames = sound.length;
  }
  fetch("answer", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""

Answer = dict[str, dict[str, float]]


def ask(browser: str, folder: Path, names: Sequence[str]) -> Answer:
    """Open audio files of a folder in a browser; by name `duration_s`, `seek_s` (to the middle) and `frames`."""
    page = _PAGE.replace("NAMES", json.dumps(names)).replace("RATE", str(RATE))
    (folder / "page.html").write_text(page)
    with _served(folder) as (address, answers):
        # a profile of its own, so that nobody's own browser is asked; no sandbox, which root has none of
        options = ("--headless", "--disable-gpu", "--no-sandbox", f"--user-data-dir={folder}/profile")
        # it lives as long as the pipe to its debugger (3 and 4), and so no longer than this process
        piped = ("sh", "-c", 'exec "$@" 3<&0 4>&1 >/dev/null', "sh")
        command = [*piped, browser, *options, "--remote-debugging-pipe", f"{address}/page.html"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as running:
            try:
                return answers.get(timeout=_ANSWER_S)
            except queue.Empty:
                raise SystemExit(f"{browser} gave no answer in {_ANSWER_S} s") from None
            finally:
                running.kill()


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, queue.Queue[Answer]]]:
    """Serve a folder to this machine alone, and gather what is posted back."""
    answers: queue.Queue[Answer] = queue.Queue()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder, answers)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """Files with byte ranges, which a browser seeks by; and one answer."""

    def __init__(self, folder: Path, answers: queue.Queue[Answer], *args: object) -> None:
        self._folder = folder
        self._answers = answers
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self._folder / Path(self.path).name
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        first = int(asked[0] or 0)
        last = min(int(asked[2] or len(data)), len(data) - 1)
        self.send_response(206 if asked[1] else 200)
        self.send_header("Content-Type", _TYPES[path.suffix[1:]])
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def do_POST(self) -> None:
        self._answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # it has read enough of a file
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> int:
    """Make the files, ask, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sound.browser", description=__doc__.splitlines()[0])
    parser.add_argument("--browser", default=next(filter(shutil.which, _BROWSERS), None), help="default: Chromium")
    options = parser.parse_args()
    if options.browser is None:
        parser.error(f"none of {', '.join(_BROWSERS)} is installed")
    logger.remove()
    with tempfile.TemporaryDirectory(prefix="sound-") as name:
        folder = Path(name)
        room = Room.at(folder)
        due: dict[str, int] = {}
        for frames in _FRAMES:
            for format, quality in FORMATS:
                made, _ = room.render(noise_of(frames), format=format, quality=quality, name=f"{frames}-{quality}")
                due[made.name] = frames
        answer = ask(options.browser, folder, list(due))
    print(subprocess.run([options.browser, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout)
    missed = 0
    for name, frames in due.items():
        found = answer[name]
        seconds = frames / RATE
        exact = (
            found["frames"] == frames
            and abs(found.get("duration_s", 0.0) - seconds) < 0.5 / RATE
            and abs(found.get("seek_s", 0.0) - seconds / 2) < 0.5 / RATE
        )
        missed += not exact
        print(f"{name:24} {'exact' if exact else 'MISSED'} {found}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
