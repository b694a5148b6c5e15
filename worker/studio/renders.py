"""Whole tracks, made in a thread beside the server: one at a time, with progress, to be cancelled at any moment."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from loguru import logger

from worker.codec.encoding import Encoding
from worker.errors import Cancelled, ShuttingDown, WorkerError
from worker.formats import FORMATS
from worker.inspect.measured import MeasuredFile, SideFiles, measure_file
from worker.inspect.receipt import receipt
from worker.logs import where
from worker.masks import masked
from worker.payload.layers import SpeechLayer
from worker.payload.schema import RenderJob
from worker.render.materials import Materials
from worker.render.previewer import UnpaidSpeechError, refuse_unpaid
from worker.render.produce import Produced, produce
from worker.studio.folder import StudioFolder

State = Literal["waiting", "running", "done", "failed", "unpaid", "cancelled"]
ENDED: Final = frozenset({"done", "failed", "unpaid", "cancelled"})
_MOST_KEPT: Final = 20
_MEASURING: Final = "measuring the file"


@dataclass(frozen=True)
class MadeFile:
    """A file that the browser may ask for by its id."""

    path: Path
    content_type: str
    shown: bool = True  # in the page; else it is downloaded only


@dataclass
class Render:
    """One track in the making; read from any thread."""

    id: str
    state: State = "waiting"
    stage: str = "waiting"
    fraction: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        told = {"id": self.id, "state": self.state, "stage": self.stage, "fraction": round(self.fraction, 4)}
        return told | self.result


class Renders:
    """The studio's renders, the last ones of which are remembered; `close` stops what runs."""

    def __init__(self, materials: Materials, folder: StudioFolder) -> None:
        self._materials = materials
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._renders: OrderedDict[str, Render] = OrderedDict()
        self._files: dict[str, MadeFile] = {}
        self._closing = False

    def close(self) -> None:
        """Stop what runs."""
        self._closing = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, job: RenderJob, *, pay: bool) -> Render:
        """Have a track made; it waits until those before it are done."""
        render = Render(secrets.token_urlsafe(12))
        self._renders[render.id] = render
        while len(self._renders) > _MOST_KEPT:
            self._renders.popitem(last=False)
        self._pool.submit(self._run, render, job, pay)
        return render

    def find(self, id: str) -> Render | None:
        """One of the last renders."""
        return self._renders.get(id)

    def file(self, id: str) -> MadeFile | None:
        """A file that was made, by the id that the page was given."""
        return self._files.get(id)

    def _run(self, render: Render, job: RenderJob, pay: bool) -> None:
        try:
            if not render.stop.is_set():
                render.state = "running"
                render.result = self._make(render, job, pay)
                render.state, render.fraction = "done", 1.0
        except (Cancelled, ShuttingDown):
            pass
        except UnpaidSpeechError as error:
            render.result = {"error": error.message, "characters": error.characters, "cents": error.cents}
            render.state = "unpaid"
        except WorkerError as error:
            render.result = {"error": masked(error.message), "lines": [masked(line) for line in error.lines]}
            render.state = "failed"
        except Exception as error:  # noqa: BLE001 - the page is told, whatever it was
            logger.bind(event="studio.bug").error("studio: a bug, {} {}", type(error).__name__, where(error))
            render.result, render.state = {"error": f"a bug of this program: {type(error).__name__}"}, "failed"
        if render.state not in ENDED:
            render.state = "cancelled"

    def _make(self, render: Render, job: RenderJob, pay: bool) -> dict[str, Any]:
        def progress(stage: str, fraction: float) -> None:
            if render.stop.is_set():
                raise Cancelled
            if self._closing:
                raise ShuttingDown
            render.stage, render.fraction = stage, fraction

        materials = (
            self._materials if pay else replace(self._materials, check_characters=refuse_unpaid(job, self._materials))
        )
        track = self._folder.new_track(job.output.format)
        started = time.monotonic()
        produced = produce(
            # lyrics tell the picture where the voice is; of a recording nobody knows the words
            job.model_copy(update={"lyrics": job.lyrics or any(map(_has_words, job.speech_layers))}),
            track,
            materials=materials,
            encoding=Encoding.for_quality(job.output.format, job.output.quality),
            on_progress=progress,
        )
        made_s = time.monotonic() - started
        report = track.with_suffix(".report.json")
        report.write_text(json.dumps(produced.as_json(), indent=2) + "\n", encoding="utf-8")
        progress(_MEASURING, 1.0)
        measured = measure_file(
            track, ffmpeg=self._materials.ffmpeg, beside=SideFiles.of(track, report=report), drawn=True
        )
        return {"seconds_to_make": round(made_s, 1), **self._told(track, report, measured, produced)}

    def _told(self, track: Path, report: Path, measured: MeasuredFile, produced: Produced) -> dict[str, Any]:
        """The receipt, and the ids of the files."""
        page = track.with_suffix(".html")
        measured.write_page(page, self._materials.ffmpeg)
        files = {
            "track": self._add(track, FORMATS[track.suffix[1:]].content_type),
            "page": self._add(page, "text/html", shown=False),
            "report": self._add(report, "application/json", shown=False),
        }
        if produced.twin is not None:
            files["speakers"] = self._add(produced.twin, FORMATS[track.suffix[1:]].content_type)
        if find_spec("matplotlib") is not None:
            picture = track.with_suffix(".png")
            measured.draw(picture)
            files["picture"] = self._add(picture, "image/png")
        lines = receipt(measured.result, measured.report)
        return {
            "name": track.name,
            "facts": measured.facts,
            "files": files,
            "receipt": [
                {
                    "name": figure.name,
                    "promised": figure.promised,
                    "measured": figure.measured,
                    "verdict": figure.verdict,
                    "remark": figure.remark,
                }
                for figure in lines.figures
            ],
            "kept": lines.kept,
            "to_look_at": lines.to_look_at,
            "notes": [*measured.notes, *lines.notes],
            "speech": [list(pair) for pair in lines.speech],
        }

    def _add(self, path: Path, content_type: str, *, shown: bool = True) -> str:
        id = secrets.token_urlsafe(12)
        self._files[id] = MadeFile(path, content_type, shown)
        return id


def _has_words(layer: SpeechLayer) -> bool:
    return layer.voice.provider != "uploaded"
