"""The studio: voice, music, cover and FFmpeg of a job, chosen by the configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from dsp.loudness import integrated_lufs
from worker.codec.tags import COVER_BYTES
from worker.config import Config
from worker.cores import available_cores
from worker.errors import JobError, MediaError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.decode import decode
from worker.media.music import find_music
from worker.media.reference import What
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.payload.script import parse_script
from worker.plan.compile import SHORTEST_RECORDING_S
from worker.plan.recordings import Music, Speech
from worker.tts import open_voice
from worker.tts.cache import RemoteCache, SpeechCache
from worker.tts.local_voice import check_language
from worker.tts.pace import PaceBook
from worker.tts.processing import VoiceProcessing, measure_clip
from worker.tts.recognition import check_recogniser
from worker.tts.shorten import FitMode, script_that_fits
from worker.tts.speech import SpeechStats, recorded_speech, speak_script
from worker.tts.takes import TakeBook

WithoutCover = Literal["never", "missing", "always"]

_DECODE_TIMEOUT_S = 900.0
_FOUND = {
    "media.empty": "holds no sound",
    "media.truncated": "is incomplete",
    "media.too_long": "is too long",
}


@dataclass(frozen=True)
class Studio:
    """What a job needs from outside.

    Attributes
    ----------
    ffmpeg : Ffmpeg
    threads : int
        Segments of the track to work on at once.
    speak : callable
        ``speak(job, folder, on_progress, said) -> Speech``: the voice, decoded into `folder`.
    fetch_music : callable
        ``fetch_music(job, folder) -> Music``: the music, decoded into `folder`.
    fetch_cover : callable
        ``fetch_cover(reference, folder) -> bytes``: a JPEG or PNG image.
    fit : "adapt" or "fail"
        What becomes of a recording that is longer than its track.
    without_music : bool
        Whether a job that still has something to hear goes without music that cannot be had.
    without_cover : "never", "missing" or "always"
        Whether a job goes without a cover that cannot be had: "missing", unless it is refused; "always", for one that
        the order does not name itself.
    """

    ffmpeg: Ffmpeg
    threads: int
    speak: Callable[[RenderJob, Path, Callable[[float], None], SpeechStats], Speech]
    fetch_music: Callable[[RenderJob, Path], Music]
    fetch_cover: Callable[[str, Path], bytes]
    fit: FitMode = "adapt"
    without_music: bool = False
    without_cover: WithoutCover = "never"


class Fetch(Protocol):
    """Gets a file that a job names."""

    def __call__(self, reference: str, *, into: Path, what: What) -> Path:
        """Bring it into a folder and return its path; what may be read depends on what it is."""


def open_studio(
    config: Config,
    fetch: Fetch,
    *,
    voice_file: Path | None = None,
    music_file: Path | None = None,
    new_takes: Collection[str] = (),
    speech_store: RemoteCache | None = None,
    catalogue: Callable[[str], str | None] | None = None,
    without_music: bool = False,
    without_cover: WithoutCover = "never",
) -> Studio:
    """Make the studio that jobs are produced in.

    Parameters
    ----------
    config : Config
    fetch : callable
        Gets music, uploaded recordings and covers.
    voice_file, music_file : Path, optional
        Used in place of the job's voice and music.
    new_takes : collection of str
        Sentences that are spoken anew.
    speech_store : RemoteCache, optional
        Shared store of spoken pieces.
    catalogue : callable, optional
        Gives the URL or object name of music by id or slug, or None.
    without_music, without_cover : bool
        As in `Studio`.
    """
    ffmpeg = find_ffmpeg(config.ffmpeg)
    max_seconds = config.max_duration_min * 60

    def speak(job: RenderJob, folder: Path, on_progress: Callable[[float], None], said: SpeechStats) -> Speech:
        recording = voice_file
        processing = VoiceProcessing(job.voice.high_pass_hz, job.voice.declick)
        if recording is None and job.voice.provider == "uploaded":
            if job.voice.url is None:
                raise JobError("voice.url is missing: an uploaded voice needs the recording's URL or object name")
            recording = fetch(job.voice.url, into=folder, what="uploaded voice")
        if recording is not None:
            with _named("uploaded voice"):
                return recorded_speech(
                    recording,
                    ffmpeg=ffmpeg,
                    folder=folder,
                    sample_rate=SAMPLE_RATE_HZ,
                    max_seconds=max_seconds,
                    speed=job.voice.recording_speed,
                    processing=processing,
                )
        if config.verify == "report":
            check_recogniser()
        voice = open_voice(job.voice, config)
        if job.voice.provider == "local":
            check_language(job.script)
        cache = SpeechCache(config.cache_dir / "speech", config.tts_cache_max_mb, speech_store)
        paces = PaceBook(config.cache_dir / "paces")
        parts = script_that_fits(
            job,
            parse_script(job.script),
            voice,
            fit=config.fit,
            cache=cache,
            paces=paces,
            notes=said.notes,
        )
        return speak_script(
            parts,
            voice,
            cache=cache,
            ffmpeg=ffmpeg,
            folder=folder,
            sample_rate=SAMPLE_RATE_HZ,
            on_progress=on_progress,
            said=said,
            processing=processing,
            paces=paces,
            takes=TakeBook(config.cache_dir / "takes"),
            take=job.voice.take,
            new_takes=new_takes,
            verify=config.verify == "report",
        )

    def fetch_music(job: RenderJob, folder: Path) -> Music:
        path = music_file
        if path is None:
            if job.background_music is None:
                raise JobError("backgroundMusic.url is missing")
            path = find_music(
                lambda reference: fetch(reference, into=folder, what="music"),
                url=job.background_music.url,
                track_id=job.background_music.id,
                name=job.background_music.name,
                catalogue=catalogue,
            )
        with _named("music"):
            clip = decode(
                ffmpeg,
                path,
                folder / "music.f32",
                sample_rate=SAMPLE_RATE_HZ,
                max_seconds=max_seconds,
                timeout_s=_DECODE_TIMEOUT_S,
            )
            if clip.frames < SHORTEST_RECORDING_S * SAMPLE_RATE_HZ:  # here, before a voice is paid for
                raise MediaError(f"{path.name} has {clip.frames} frames", code="media.empty")
        return Music(clip, integrated_lufs(measure_clip(clip, SAMPLE_RATE_HZ).energies))

    def fetch_cover(reference: str, folder: Path) -> bytes:
        path = fetch(reference, into=folder, what="cover")
        if path.stat().st_size > COVER_BYTES:
            raise MediaError(f"metadata.cover: the image is larger than {COVER_BYTES >> 20} MB")
        data = path.read_bytes()
        if not data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
            raise MediaError("metadata.cover: it is neither a JPEG nor a PNG image")
        return data

    threads = config.render_threads or available_cores()
    return Studio(
        ffmpeg,
        threads,
        speak=speak,
        fetch_music=fetch_music,
        fetch_cover=fetch_cover,
        fit=config.fit,
        without_music=without_music,
        without_cover=without_cover,
    )


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Name the file by its part in the job: our file names mean nothing to the customer."""
    try:
        yield
    except MediaError as error:
        found = _FOUND.get(error.code, "is no sound file that can be read")
        raise MediaError(
            f"{what}: {error.message}",
            code=error.code,
            customer_message=f"The {what} of this order {found}. Please choose another one, or contact support.",
        ) from None
