"""Where the pieces of a script come from: the cache or the voice, several at once, examined in the script's order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dsp.blocks import spans
from worker.errors import MediaError, TransientError
from worker.ffmpeg.program import Ffmpeg
from worker.media.clip import FileClip
from worker.media.decode import decode
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.tts.cache import SpeechCache
from worker.tts.piece_check import examine_piece
from worker.tts.service_errors import PieceTooLongError, SpoiltError
from worker.tts.takes import Take, TakeChecks, corrected
from worker.tts.voice import Utterance, Voice

_DECODE_TIMEOUT_S = 300.0
_LONGEST_PIECE_S = 3600.0
_LATER_TAKE = 2  # added to the number of a piece's take, after a first and a second one


@dataclass(frozen=True)
class WantedPiece:
    """A piece to be had.

    Attributes
    ----------
    number : int
        Its place among the script's pieces, from 1.
    utterance : Utterance
    key : str
        Its name in the cache.
    into : Path
        Where its files go: this name with endings.
    other_takes : int
        Added to the number of its take, where the cache must not be asked; else 0.
    """

    number: int
    utterance: Utterance
    key: str
    into: Path
    other_takes: int = 0


class _DamagedError(TransientError):
    """A take is no sound that can be used."""


@dataclass(frozen=True)
class _Arrived:
    """A piece that is there; `attempt` is the number of its take, from 0, where it is not from the cache."""

    take: Take
    from_cache: bool
    attempt: int = 0


class PieceSource:
    """The cache, else the voice, whose takes are examined before they are kept.

    Threads wait for the service and decode. Whoever reads `pieces` examines, in the script's order. So what is usual
    for the voice, and which takes are kept, does not depend on which answer comes first.

    Parameters
    ----------
    checks : TakeChecks
        Of this script.
    at_once : int
        How many pieces are asked for at the same time, at least 1.

    Attributes
    ----------
    hits, misses : int
        Pieces that came from the cache, and that had to be spoken.
    asked_characters : list of int
        Of each take that the voice has given, in any order.
    cached_characters : int
        Of the pieces that came from the cache.
    refused_characters : int
        Length of the piece that was too long for the service.
    """

    def __init__(
        self, voice: Voice, *, cache: SpeechCache, ffmpeg: Ffmpeg, checks: TakeChecks, at_once: int = 1
    ) -> None:
        self._voice, self._cache, self._ffmpeg, self._checks, self._at_once = voice, cache, ffmpeg, checks, at_once
        self._turns = threading.Semaphore(at_once)  # second takes are among them
        self._decoding = threading.Lock()  # each FFmpeg takes memory
        self._kept_late: set[str] = set()  # keys of pieces that arrived after a failure, and were counted then
        self.hits = self.misses = self.refused_characters = self.cached_characters = 0
        self.asked_characters: list[int] = []

    def pieces(self, wanted: Sequence[WantedPiece]) -> Generator[FileClip, None, None]:
        """Get pieces, decoded, in their order; equal ones are asked for once.

        After a failure nothing more is asked for. What has arrived by then is kept, since it is paid.

        Raises
        ------
        WorkerError
            The first failure; of pieces that are too long, the first one in the script's order.
        """
        ended = threading.Event()
        failures: list[tuple[WantedPiece, Exception]] = []

        def fetch(piece: WantedPiece) -> _Arrived:
            try:
                return self._fetched(piece, ended)
            except CancelledError:  # another one has failed
                raise
            except Exception as error:
                failures.append((piece, error))
                ended.set()
                if not isinstance(error, PieceTooLongError):
                    self._voice.stop()
                raise

        pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="speech")
        pending: dict[str, tuple[WantedPiece, Future[_Arrived]]] = {}
        try:
            for piece in wanted:
                if piece.key not in pending:
                    pending[piece.key] = piece, pool.submit(fetch, piece)
            for piece in wanted:
                _, asked = pending.pop(piece.key, (piece, None))
                arrived = asked.result() if asked else self._fetched(replace(piece, other_takes=0), ended)
                yield self._examined(piece, arrived)
        except Exception:
            pool.shutdown(cancel_futures=True)
            if not failures:
                raise
            raise self._first(failures) from None
        finally:
            ended.set()
            if pending and not failures:
                self._voice.stop()
            pool.shutdown(cancel_futures=True)
            self._keep_late(pending.values())

    def retake(self, piece: WantedPiece) -> FileClip:
        """Examine a piece of this script once more, now that its voice is known."""
        earlier = self._cache.find(piece.key)

        def record(attempt: int) -> Take:
            if earlier is not None and attempt == 0:
                return Take(earlier, self._decoded(earlier, piece, 0))
            return self._recorded(piece, attempt and _LATER_TAKE)

        return self._chosen(piece, record, earlier=earlier, again=True)

    def _first(self, failures: Sequence[tuple[WantedPiece, Exception]]) -> Exception:
        for _, error in failures:
            if not isinstance(error, PieceTooLongError):
                return error
        piece, error = min(failures, key=lambda failure: failure[0].number)
        self.refused_characters = len(piece.utterance.text)
        return error

    def _fetched(self, piece: WantedPiece, ended: threading.Event) -> _Arrived:
        """From the cache, where a damaged entry is dropped, else from the voice."""
        if not piece.other_takes and (kept := self._cache.find(piece.key)) is not None:
            try:
                return _Arrived(Take(kept, self._decoded(kept, piece, 0)), from_cache=True)
            except MediaError:
                self._cache.drop(piece.key)
        if ended.is_set():
            raise CancelledError
        try:
            return _Arrived(self._recorded(piece, 0), from_cache=False)
        except _DamagedError:
            if ended.is_set():
                raise
        try:
            return _Arrived(self._recorded(piece, 1), from_cache=False, attempt=1)
        except _DamagedError as error:
            raise SpoiltError(error.message) from None

    def _recorded(self, piece: WantedPiece, attempt: int) -> Take:
        arrived = piece.into.with_suffix(f".{attempt}.spoken")
        utterance = piece.utterance
        with self._turns:
            self._voice.speak(replace(utterance, take=utterance.take + piece.other_takes + attempt), arrived)
        self.asked_characters.append(len(utterance.text))
        try:
            return Take(arrived, self._decoded(arrived, piece, attempt))
        except MediaError as error:
            raise _DamagedError(
                f"the {self._voice.provider} voice gave no usable sound: {error.message}", code="voice.damaged"
            ) from None

    def _examined(self, piece: WantedPiece, arrived: _Arrived) -> FileClip:
        if arrived.from_cache:
            self.hits += piece.key not in self._kept_late
            self.cached_characters += len(piece.utterance.text) * (piece.key not in self._kept_late)
            return arrived.take.clip
        self.misses += 1

        def record(attempt: int) -> Take:
            return self._recorded(piece, arrived.attempt + attempt) if attempt else arrived.take

        return self._chosen(piece, record)

    def _keep_late(self, pending: Iterable[tuple[WantedPiece, Future[_Arrived]]]) -> None:
        """Keep what arrived after a failure, unless it would have to be asked for once more."""
        for piece, asked in pending:
            with suppress(Exception):  # what fails here costs money only
                arrived = asked.result()  # `shutdown` has waited for it
                with arrived.take.clip as clip:
                    medians, speed = self._checks.medians, self._checks.speed
                    check = examine_piece(clip, SAMPLE_RATE_HZ, piece.utterance.text, medians, speed=speed)
                if not (arrived.from_cache or check.faults or check.corrections):
                    self.misses += 1
                    self._kept_late.add(piece.key)
                    self._cache.keep(piece.key, arrived.take.file)

    def _chosen(
        self,
        piece: WantedPiece,
        record: Callable[[int], Take],
        *,
        earlier: Path | None = None,
        again: bool = False,
    ) -> FileClip:
        """Take the better of one or two takes, corrected, and keep it unless it cannot be used."""
        take, check = self._checks.choose(
            record, number=piece.number, text=piece.utterance.text, sample_rate=SAMPLE_RATE_HZ, again=again
        )
        file, clip = take.file, take.clip
        if file != earlier:
            if check.corrections:
                file = corrected(take, check, piece.into.with_suffix(".corrected.spoken"), sample_rate=SAMPLE_RATE_HZ)
                clip = self._decoded(file, piece, "corrected")
            if not check.is_unusable:
                self._cache.keep(piece.key, file)
        if check.is_unusable and earlier is not None:
            self._cache.drop(piece.key)
        for left in piece.into.parent.glob(f"{piece.into.name}.*.spoken"):
            left.unlink()
        return clip

    def _decoded(self, path: Path, piece: WantedPiece, which: int | str) -> FileClip:
        into = piece.into.with_suffix(f".{which}.f32")
        with self._decoding:
            clip = decode(
                self._ffmpeg,
                path,
                into,
                sample_rate=SAMPLE_RATE_HZ,
                max_seconds=_LONGEST_PIECE_S,
                timeout_s=_DECODE_TIMEOUT_S,
            )
        if not any(clip.read(first, last).any() for first, last in spans(0, clip.frames)):
            raise MediaError("the spoken piece is silent", code="voice.silent")
        return clip
