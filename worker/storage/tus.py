"""One resumable upload to Supabase Storage: TUS 1.0.0 (tus.io), core protocol and creation.

By hand over httpx: storage3 has no resumable uploads, and tuspy reads a piece into memory, keeps the server's
absolute Location (which self-hosted Storage gets wrong) and sorts no errors.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx

from worker.errors import TransientError
from worker.storage.base import FOREVER_S
from worker.storage.storage_errors import ObjectMissing, read_answer, sort_answer, unanswered

# Supabase's documentation, "Resumable uploads": pieces must be of exactly 6 MB, but for the last.
PIECE_BYTES = 6 * 1024 * 1024
_SLICE_BYTES = 64 * 1024
_ALWAYS = {"Tus-Resumable": "1.0.0", "x-upsert": "false"}
# For uploads that have expired (404, 410), and for some that are done (400, 403: supabase/storage issue 417).
# A HEAD has no body to tell which; beginning anew tells.
_LOST = (400, 403, 404, 410)


@dataclass
class ResumableUpload:
    """One upload. `run` may be called again after a `TransientError`; it continues at the server's offset.

    All requests stay below the endpoint ``…/storage/v1/upload/resumable``, and so does the key in the headers.
    `on_progress` is called with the bytes the server has, after each piece; `furthest` is the most that it has had, and
    grows while there is progress.
    """

    client: httpx.Client
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    path: Path
    _: KW_ONLY
    bucket: str
    key: str
    content_type: str
    on_progress: Callable[[int], None] | None = None
    furthest: int = field(default=0, init=False)
    _url: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._size = self.path.stat().st_size

    def run(self) -> None:
        """Send what is missing.

        Raises
        ------
        TransientError
            Worth another call.
        ConfigurationError
            Not worth one.
        ObjectTaken
            The place is taken, or another client has moved this upload on.
        """
        offset = 0
        if self._url is not None:
            try:
                offset = self._ask_offset(self._url)
            except ObjectMissing:
                self._url = None  # expired; or done, and then beginning anew finds the place taken
        if self._url is None:
            self._url = self._create()
        try:
            while offset < self._size:
                offset = self._send_piece(self._url, offset)
        except ObjectMissing as error:
            # Expired between two pieces; the next call asks for the offset, finds nothing, and begins anew.
            raise TransientError(f"Storage lost the upload: {error}", code="storage.upload") from error

    def _create(self) -> str:
        metadata = {
            "bucketName": self.bucket,
            "objectName": self.key,
            "contentType": self.content_type,
            "cacheControl": str(FOREVER_S),
        }
        encoded = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())
        headers = {"Upload-Length": str(self._size), "Upload-Metadata": encoded}
        response = self._good(self._send("POST", self.endpoint, headers))
        # Only the last part of Location: behind a proxy its scheme, host and prefix are often wrong
        # (supabase/storage issue 339), and the key must not be sent to another host.
        upload_id = response.headers.get("location", "").rstrip("/").rpartition("/")[2]
        if not upload_id:
            raise TransientError("Storage began an upload without saying where", code="storage.upload")
        return f"{self.endpoint}/{quote(upload_id, safe='')}"

    def _ask_offset(self, url: str) -> int:
        response = self._send("HEAD", url, {})
        if response.status_code in _LOST:
            raise ObjectMissing(f"the upload is gone ({response.status_code})")
        return self._offset_in(self._good(response), least=0)

    def _send_piece(self, url: str, offset: int) -> int:
        length = min(PIECE_BYTES, self._size - offset)
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(length),
        }
        response = self._send("PATCH", url, headers, content=_slices(self.path, offset, length))
        return self._offset_in(self._good(response), least=offset + 1)

    def _offset_in(self, response: httpx.Response, *, least: int) -> int:
        text = response.headers.get("upload-offset", "")
        if not text.isdecimal() or not least <= int(text) <= self._size:
            raise TransientError(
                f"Storage says it has {text or 'no'} bytes of {self._size}; expected at least {least}",
                code="storage.upload",
            )
        offset = int(text)
        self.furthest = max(self.furthest, offset)
        if self.on_progress:
            self.on_progress(offset)
        return offset

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], *, content: Iterator[bytes] | None = None
    ) -> httpx.Response:
        try:
            return self.client.request(method, url, headers={**self.headers, **_ALWAYS, **headers}, content=content)
        except httpx.TransportError as error:
            raise unanswered(error) from error

    def _good(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        answer = read_answer(response.status_code, response.headers, response.content)
        raise sort_answer(answer, bucket=self.bucket, key=self.key, content_type=self.content_type)


def _slices(path: Path, offset: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while length > 0 and (piece := file.read(min(_SLICE_BYTES, length))):
            length -= len(piece)
            yield piece
