"""Files that a person names: the job, and what lies beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from worker.config import Config
from worker.errors import JobError
from worker.media.reference import What, is_bare_name, unicode_forms

if TYPE_CHECKING:
    from worker.media.download import Listings
    from worker.render.studio import Fetch


def read_job(name: str) -> bytes:
    """Read a job file, or standard input for ``-``.

    Raises
    ------
    JobError
        If it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise JobError(f"{name}: {error.strerror}") from None


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
