"""Where a piece of music may be: the app sends `{id, name, url}`, and plays only `url`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from worker.errors import MediaError
from worker.formats import INPUT_ENDINGS
from worker.media.reference import MISSING, REFUSED, is_bare_name


def find_music(
    get: Callable[[str], Path],
    *,
    url: str | None,
    track_id: str | None,
    name: str | None,
    catalogue: Callable[[str], str | None] | None = None,
) -> Path:
    """Fetch a piece of music from the first place that has it.

    The URL is tried first. Then the catalogue, which gives a URL or object name for an id or slug, or None. Then, as
    object names, the id (an older payload may mean it so) and the title, without an ending with each of the usual ones,
    too.

    Parameters
    ----------
    get : callable
        Fetches a URL or an object name, as `fetch_media` does.

    Raises
    ------
    MediaError
        About the first place, if none has it.
    """
    first: MediaError | None = None
    tried: set[str] = set()
    for reference in _places(url, track_id, name, catalogue):
        if reference not in tried:
            tried.add(reference)
            try:
                return get(reference)
            except MediaError as error:
                if error.code not in (MISSING, REFUSED):
                    raise  # it is there, but too large
                first = first or error
    raise first or MediaError("music: the job names none", code=MISSING)


def _places(
    url: str | None, track_id: str | None, name: str | None, catalogue: Callable[[str], str | None] | None
) -> Iterator[str]:
    if url:
        yield url
    if track_id and catalogue is not None and (listed := catalogue(track_id)):
        yield listed
    for title in (track_id, name):
        if title and is_bare_name(title):
            yield title
            if PurePosixPath(title).suffix.lower() not in INPUT_ENDINGS:
                yield from (f"{title}{ending}" for ending in INPUT_ENDINGS)
