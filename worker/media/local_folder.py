"""Music, recordings and covers under STORAGE_DIR, where there is no Supabase: the file that a name means."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import islice
from pathlib import Path

from worker.media.not_there import MOST_NAMES, is_unclear, looked_for, not_there
from worker.media.reference import Reach, StoredObject, refused, similar_keys


def find_in_folder(place: StoredObject, storage_dir: Path, reach: Reach, what: str) -> Path:
    """The file that is there under one form of the name, or else the only one that differs in case or spaces alone."""
    root = (storage_dir / place.bucket).resolve()
    if (found := _first_file(root, place, what)) is not None:
        return found
    names = _file_names(root, place.folder)
    keys = similar_keys(place, names, reach)
    meant = None if is_unclear(keys, names) else _first_file(root, replace(place, keys=keys), what)
    if meant is None:
        raise not_there(what, place, looked_for(place, keys, names))
    return meant


def _first_file(root: Path, place: StoredObject, what: str) -> Path | None:
    for key in place.keys:
        path = (root / key).resolve()
        if not path.is_relative_to(root):  # a symbolic link out of the tree
            raise refused(what, place.label, "leads out of STORAGE_DIR")
        try:
            if path.is_file():
                return path
        except OSError:  # a name that no file can have
            continue
    return None


def _file_names(root: Path, folder: str) -> list[str]:
    """The names in a folder, as far as there are any."""
    with contextlib.suppress(OSError, ValueError):
        if (root / folder).resolve().is_relative_to(root):
            return [path.name for path in islice((root / folder).iterdir(), MOST_NAMES)]
    return []
