"""Files that a person names: the job, and what lies beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.config import Config
from worker.formats import INPUT_ENDINGS
from worker.media.reference import What, is_bare_name, unicode_forms

if TYPE_CHECKING:
    from worker.media.download import Listings
    from worker.payload.schema import RenderJob
    from worker.render.materials import Fetch

_LONGEST_NAME = 4096  # of a file, with its folders


def named_files(job: Any, folder: Path) -> Iterator[Path]:
    """Files in a folder that any text of a JSON-like job names."""
    if isinstance(job, str):
        if 0 < len(job) <= _LONGEST_NAME and is_bare_name(job):
            yield from (folder / name for name in unicode_forms(job))
    elif isinstance(job, Mapping | list | tuple):
        for each in job.values() if isinstance(job, Mapping) else job:
            yield from named_files(each, folder)


def music_files(job: RenderJob, folder: Path) -> Iterator[Path]:
    """Files in a folder that the music's id or name may mean: the ending may be left out."""
    from worker.payload.layers import MusicLayer  # takes long to load, and is seldom needed

    pieces = [layer for layer in job.every_layer() if isinstance(layer, MusicLayer)]
    for title in (title for layer in pieces for title in (layer.id, layer.title)):
        if title and is_bare_name(title):
            yield from (folder / f"{name}{ending}" for name in unicode_forms(title) for ending in INPUT_ENDINGS)


def beside(folder: Path, config: Config) -> Fetch:
    """Find files that a job names: first beside the job file, then as the worker would."""

    listings: Listings = {}

    def fetch(reference: str, *, into: Path, what: What) -> Path:
        for name in unicode_forms(reference) if is_bare_name(reference) else ():
            if (folder / name).is_file():
                return folder / name
        from worker.media.download import fetch_media  # seldom needed here, and long to load

        cache_dir = config.cache_dir / "media"
        return fetch_media(
            reference,
            what=what,
            into=into,
            config=config,
            of_anybody=True,
            cache_dir=cache_dir,
            listings=listings,
        )

    return fetch
