"""The studio for operators: served in a process of its own, to its worker alone, by a socket in a private folder.

Who may use it is checked in the worker, before anything comes here. The process is one as jobs have: forked from a fork
server, its memory limited, killed with all that it has started when its worker ends it or dies
(`worker.operate.editing_process`). What is made here goes to the browser and nowhere else.
"""

from __future__ import annotations

import os
import socket
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.config import Config
from worker.errors import ShuttingDown
from worker.job.channel import Channel
from worker.job.messages import JobInput, JobOutput
from worker.masks import masked, masked_value
from worker.media.download import Listings, fetch_media
from worker.media.reference import What
from worker.payload.aliases import load_payload
from worker.payload.track_row import completed_payload
from worker.render.materials import Materials
from worker.storage.base import SmallFiles
from worker.storage.choose import open_storage
from worker.studio.app import StudioContext, application
from worker.studio.folder import StudioFolder, texts_of
from worker.studio.hearing import Hearing
from worker.studio.renders import Renders
from worker.studio.server import http_server
from worker.studio.starts import Start
from worker.web.bodies import json_body

SOCKET: Final = "studio.socket"
SERVING: Final = "serving"
OPEN: Final = "/open"
_NICENESS: Final = 5  # customers' jobs come first
_MOST_BYTES: Final = 1 << 30
_MOST_JOBS: Final = 8
_JOB: Final[Mapping[str, Any]] = {"durationMin": 5, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}}


def serve(job_input: JobInput, config: Config, channel: Channel, folder: Path) -> JobOutput:
    """Serve until the worker ends the process; `job_input` says nothing."""
    del job_input
    os.nice(_NICENESS)
    files = folder / "files"
    files.mkdir()
    opened = OpenedJobs(config)
    studio_folder = StudioFolder(files, opened.fetch, opened, most_bytes=_MOST_BYTES)
    materials = Materials(
        config,
        studio_folder.fetch,
        speech_store=_shared_speech(config),
        without_music=config.on_missing_music == "without",
        without_cover="missing",
    )
    start = Start(_JOB, "track", queue="../")
    context = StudioContext(
        config, materials, studio_folder, Hearing(materials), Renders(materials, studio_folder), start
    )
    server = http_server(application(context, Route(OPEN, opened.open, methods=["POST"])))
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # the whole path may be longer than a socket's may be
        listening.bind(SOCKET)
        os.chdir(here)
        listening.listen()
        channel.progress(0, SERVING)
        server.run(sockets=[listening])
    raise ShuttingDown


class OpenedJobs:
    """The last jobs that were opened: what they name may be fetched, each as for its own customer.

    A text is known by its masked form, which is what the page has of it: the signature of an address stays here.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._named: OrderedDict[str, Mapping[str, tuple[str, str | None]]] = OrderedDict()
        self._listings: Listings = {}

    def __contains__(self, reference: object) -> bool:
        return any(reference in named for named in self._named.values())

    async def open(self, request: Request) -> Response:
        """Take a job of the queue from the worker; the answer is what the page starts from."""
        told = await json_body(request)
        job_id, user_id = str(told["job_id"]), told["user_id"]
        payload = completed_payload(load_payload(told["payload_text"]), told["track"]).payload
        self._named[job_id] = {masked(text): (text, user_id) for text in texts_of(payload)}
        self._named.move_to_end(job_id)
        while len(self._named) > _MOST_JOBS:
            self._named.popitem(last=False)
        return JSONResponse({"job": masked_value(payload), "name": f"job-{job_id[:8]}"})

    def fetch(self, reference: str, *, into: Path, what: What) -> Path:
        """Get what such a job names, or a web address, as for a job."""
        found = (named[reference] for named in reversed(self._named.values()) if reference in named)
        reference, user_id = next(found, (reference, None))
        return fetch_media(
            reference,
            what=what,
            into=into,
            config=self._config,
            user_id=user_id,
            cache_dir=self._config.cache_dir / "media",
            listings=self._listings,
        )


class _ReadOnly:
    """What jobs had spoken is read from it; nothing is put there."""

    def __init__(self, files: SmallFiles) -> None:
        self._files = files

    def get(self, key: str) -> bytes | None:
        return self._files.get(key)

    def put(self, key: str, data: bytes) -> object:
        del key, data
        return None

    def remove(self, key: str) -> None:
        del key


def _shared_speech(config: Config) -> SmallFiles | None:
    if not config.tts_cache_bucket:
        return None
    files = open_storage(config).small_files(config.tts_cache_bucket)
    return None if files is None else _ReadOnly(files)
