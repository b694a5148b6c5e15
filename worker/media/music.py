"""Where a piece of music may be: the app sends `{id, name, url}`, and plays only `url`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from worker.errors import MediaError
from worker.formats import INPUT_ENDINGS
from worker.media.reference import MISSING, REFUSED, is_bare_name

_LONGEST_SHOWN = 100


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
        About the first place, if none has it; operators read the others, too.
    """
    first: MediaError | None = None
    tried: dict[str, str] = {}
    for references in _places(url, track_id, name, catalogue):
        for reference in references:
            if reference not in tried:
                tried[reference] = _shown(references) if reference == references[0] else ""
                try:
                    return get(reference)
                except MediaError as error:
                    if error.code not in (MISSING, REFUSED):
                        raise  # it is there, but too large
                    first = first or error
    if first is None:
        raise MediaError("music: the job names none", code=MISSING)
    if others := [shown for shown in list(tried.values())[1:] if shown]:
        message = f"{first.message}; also looked for {', '.join(others)}"
        raise MediaError(message, code=first.code, customer_message=first.customer_message)
    raise first


def _places(
    url: str | None, track_id: str | None, name: str | None, catalogue: Callable[[str], str | None] | None
) -> Iterator[tuple[str, ...]]:
    if url:
        yield (url,)
    if track_id and catalogue is not None and (listed := catalogue(track_id)):
        yield (listed,)
    for title in (track_id, name):
        if title and is_bare_name(title):
            known = PurePosixPath(title).suffix.lower() in INPUT_ENDINGS
            yield (title,) if known else (title, *(f"{title}{ending}" for ending in INPUT_ENDINGS))


def _shown(references: tuple[str, ...]) -> str:
    """For operators: a place, without the query of a URL, which may hold a signature."""
    title = ascii(references[0].partition("?")[0][:_LONGEST_SHOWN])
    return title if len(references) == 1 else f"{title} with each usual ending"
