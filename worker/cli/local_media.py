"""Files that lie beside a job: found before the job is queued, and taken along to where its worker looks for them."""

from __future__ import annotations

import copy
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from worker.config import Config
from worker.errors import MediaError, WorkerError
from worker.media.reference import (
    MISSING,
    Reach,
    What,
    is_bare_name,
    loose_form,
    parse_reference,
    unicode_forms,
)
from worker.os_errors import in_words
from worker.payload.messages import format_value
from worker.storage.choose import chosen_storage, open_storage

if TYPE_CHECKING:
    from worker.payload.schema import RenderJob

_MOST_NAMES = 1000
_STEP = re.compile(r"[^.\[\]]+")  # of a field's name, such as layers[0].url


@dataclass(frozen=True)
class LocalFile:
    """A file beside a job, the name of the payload's field that names it, and the bucket where its worker looks."""

    field: str
    path: Path
    bucket: str


def local_files(payload: Mapping[str, Any], job: RenderJob, folder: Path, config: Config) -> list[LocalFile]:
    """Look for all media that a job names.

    Parameters
    ----------
    payload : mapping
        The same job as it was written.
    folder : Path
        Where it lies.

    Returns
    -------
    files : list of LocalFile
        Those beside the job, which must be taken along. What is in storage, and URLs, are as they are.

    Raises
    ------
    MediaError
        Names each file that is nowhere, and each URL that the worker would refuse.
    """
    looks = _Looks(payload, folder, config)
    errors: list[MediaError] = []
    found: list[LocalFile] = []
    for look in (looks.music, looks.recording, looks.listed, looks.cover):
        try:
            found += look(job)
        except MediaError as error:
            errors.append(error)
    if errors:
        raise MediaError(errors[0].message, code=errors[0].code, mistakes=[error.message for error in errors])
    return found


def take_along(payload: Mapping[str, Any], files: Sequence[LocalFile], config: Config) -> dict[str, Any]:
    """Copy files into STORAGE_DIR, each named by its content, and return the payload with these names.

    A name is of one content only, so that nothing is overwritten and the same file is there once.

    Raises
    ------
    WorkerError
        If a file cannot be read or written.
    """
    rewritten: dict[str, Any] = copy.deepcopy(dict(payload))
    for file in files:
        try:
            key = _copied(file.path, config.storage_dir / file.bucket)
        except OSError as error:
            raise WorkerError(
                f"{file.field}: {file.path} cannot be copied to {config.storage_dir / file.bucket} (STORAGE_DIR): "
                f"{in_words(error)}",
                code="output.file",
            ) from None
        *sections, last = _STEP.findall(file.field)
        inner: Any = rewritten
        for section in sections:
            inner = inner[int(section) if isinstance(inner, list) else section]
        inner[last] = key
    return rewritten


def _copied(path: Path, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".incoming-")
    part = Path(name)
    try:
        with path.open("rb") as source, os.fdopen(descriptor, "wb") as target:
            shutil.copyfileobj(source, target)
        with part.open("rb") as copied:
            digest = hashlib.file_digest(copied, "sha256").hexdigest()
        key = digest[:32] + path.suffix.lower()
        part.chmod(0o644)
        part.replace(folder / key)  # the same content, if it was there
    finally:
        part.unlink(missing_ok=True)
    return key


class _Looks:
    """Looks for the media of one job: beside it, then where its worker will look."""

    def __init__(self, payload: Mapping[str, Any], folder: Path, config: Config) -> None:
        from worker.payload.aliases import read_payload
        from worker.payload.mistakes import Mistakes

        self._written_as = read_payload(payload, Mistakes()).written_as
        self._folder, self._config = folder, config
        self._is_local = chosen_storage(config) == "local"

    def music(self, job: RenderJob) -> Iterator[LocalFile]:
        """The music that lies beside the job."""
        music = job.background_music
        if music is not None and (music.url or music.id or music.name):
            fields = {key: self._written_as["backgroundMusic", key] for key in ("url", "id", "name")}
            yield from self._music(music.url, music.id, music.name, fields)

    def _music(
        self, url: str | None, track_id: str | None, name: str | None, fields: Mapping[str, str]
    ) -> Iterator[LocalFile]:
        from worker.media.music import find_music

        found: list[LocalFile | None] = []

        def get(reference: str) -> Path:
            key = "url" if reference == url else "id" if track_id and reference.startswith(track_id) else "name"
            found.append(self._file(fields[key], reference, "music", self._config.media_buckets))
            return Path()

        try:
            find_music(get, url=url, track_id=track_id, name=name)
        except MediaError:
            if track_id is None:  # else the catalogue may have it, which only the worker asks
                raise
        yield from filter(None, found)

    def listed(self, job: RenderJob) -> Iterator[LocalFile]:
        """The music and the recordings of the job's list of layers that lie beside the job."""
        from worker.payload.layers import MusicLayer, RecordingLayer, SpeechLayer

        for number, layer in enumerate(job.layer_list):
            at = f"layers[{number}]"
            if isinstance(layer, MusicLayer):
                fields = {"url": f"{at}.url", "id": f"{at}.id", "name": f"{at}.title"}
                yield from self._music(layer.url, layer.id, layer.title, fields)
            elif isinstance(layer, RecordingLayer) and layer.url:
                yield from self._one(f"{at}.url", layer.url, "uploaded voice", self._config.voice_buckets)
            elif isinstance(layer, SpeechLayer) and layer.voice.provider == "uploaded" and layer.voice.url:
                yield from self._one(f"{at}.voice.url", layer.voice.url, "uploaded voice", self._config.voice_buckets)

    def recording(self, job: RenderJob) -> Iterator[LocalFile]:
        """The recording that lies beside the job."""
        if job.voice.provider == "uploaded" and job.voice.url:
            yield from self._one(
                self._written_as["voice", "url"], job.voice.url, "uploaded voice", self._config.voice_buckets
            )

    def cover(self, job: RenderJob) -> Iterator[LocalFile]:
        """The cover that lies beside the job."""
        if job.metadata.cover:
            yield from self._one(
                self._written_as["metadata", "cover"], job.metadata.cover, "cover", self._config.media_buckets
            )

    def _one(self, field: str, reference: str, what: What, buckets: tuple[str, ...]) -> Iterator[LocalFile]:
        found = self._file(field, reference, what, buckets)
        if found is not None:
            yield found

    def _file(self, field: str, reference: str, what: What, buckets: tuple[str, ...]) -> LocalFile | None:
        """The file beside the job; None for what is in storage, or a URL."""
        if not is_bare_name(reference):
            if self._is_local:
                self._check_url(field, reference, what, buckets)
            return None
        names = (self._folder / name for name in unicode_forms(reference))
        beside = next((path for path in names if os.path.isfile(path)), None)  # noqa: PTH113 - False for any name
        bucket = buckets[0] if buckets else ""
        if beside is not None and self._is_local and bucket:
            return LocalFile(field, beside, bucket)
        if not self._is_stored(bucket, reference):
            raise MediaError(f"{field}: {self._nowhere(reference, beside, bucket)}", code=MISSING)
        return None

    def _check_url(self, field: str, reference: str, what: What, buckets: tuple[str, ...]) -> None:
        try:
            parse_reference(reference, reach=Reach(buckets), origin=None, hosts=self._config.media_hosts, what=what)
        except MediaError as error:
            raise MediaError(f"{field}: {error.message}", code=error.code) from None

    def _is_stored(self, bucket: str, name: str) -> bool:
        """Whether a bucket has a file of this name, but for case and spaces, which the worker does not mind."""
        path = PurePosixPath(name)
        folder = "" if path.parent == PurePosixPath() else str(path.parent)
        if not bucket or path.is_absolute() or ".." in path.parts:
            return False
        with closing(open_storage(self._config)) as storage:
            names = storage.names_in(bucket, folder, most=_MOST_NAMES)
        return len(names) >= _MOST_NAMES or loose_form(path.name) in map(loose_form, names)

    def _nowhere(self, reference: str, beside: Path | None, bucket: str) -> str:
        found = f"found {format_value(reference)}"
        if self._is_local:
            return f"{found}, which is neither beside the job nor in {self._config.storage_dir / bucket}"
        if beside is not None:
            return (
                f"{found}, a file of this machine, which the worker cannot read; enqueue uploads nothing: put it into "
                f"the bucket {bucket} (Supabase, Storage), and enqueue the job again"
            )
        return f"{found}, which is not in the bucket {bucket}"
