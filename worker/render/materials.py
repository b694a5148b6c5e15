"""The materials of a job: voice, music, cover and FFmpeg, chosen by the configuration."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection, Iterator, MutableMapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal, Protocol

from dsp.k_weighting import Energies
from dsp.loudness import integrated_lufs
from dsp.peak_survey import LimiterBounds
from worker.config import Config
from worker.cores import available_cores
from worker.errors import JobError, MediaError, WorkerError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.clip import FileClip
from worker.media.cover import clean_cover
from worker.media.decode import decode
from worker.media.music import find_music
from worker.media.reference import What
from worker.payload.schema import SAMPLE_RATE_HZ, BackgroundMusic, RenderJob
from worker.payload.script import Part, parse_script
from worker.payload.short_form import MUSIC
from worker.plan.compile import SHORTEST_RECORDING_S
from worker.plan.layer_jobs import speech_jobs
from worker.plan.looping import loop_of
from worker.plan.recordings import Music, Speech, in_frames
from worker.pronounce import Pronunciations
from worker.storage.base import SmallFiles
from worker.tts import open_voice
from worker.tts.cache import SpeechCache
from worker.tts.fallback import Turn, possible_turns, refused_just_now, spoken_by_first, why_fall_back
from worker.tts.local_voice import check_language
from worker.tts.pace import PaceBook
from worker.tts.places import Places
from worker.tts.processing import VoiceProcessing, measure_clip
from worker.tts.recognition import check_recogniser
from worker.tts.recording import recorded_speech
from worker.tts.shorten import script_that_fits
from worker.tts.speech import SpeechStats, speak_script, unpaid_characters
from worker.tts.takes import TakeBook
from worker.tts.voice import Voice
from worker.vendors import VoiceUse
from worker.voices import PROVIDERS

WithoutCover = Literal["never", "missing", "always"]

_DECODE_TIMEOUT_S = 900.0
_FOUND = {
    "media.empty": "holds no sound",
    "media.truncated": "is incomplete",
    "media.too_long": "is too long",
}


class Fetch(Protocol):
    """Gets a file that a job names."""

    def __call__(self, reference: str, *, into: Path, what: What) -> Path:
        """Bring it into a folder and return its path; what may be read depends on what it is."""


@dataclass(frozen=True)
class Decoded:
    """A piece of music or a recording, and the energies of its hops."""

    clip: FileClip
    energies: Energies


@dataclass(frozen=True)
class Materials:
    """What a job needs from outside.

    Raises `MachineError` if there is no FFmpeg.

    Parameters
    ----------
    fetch : Fetch
        Gets music, uploaded recordings and covers.
    voice_file, music_file : Path, optional
        Used in place of the job's voice and music, whatever the job says of them.
    new_takes : collection of str
        Sentences that are spoken anew.
    waited_s : float
        How long the job has waited for its voice. Infinite, as on the command line: an outage falls back at once.
    asks_refused_voices : bool
        Ask a voice that its service refused just now, too, as a probe must and a person may.
    check_characters : callable, optional
        Called with how many characters a paid voice is about to be asked for, in all for this job, unless the cache has
        them all; raises to refuse them.
    speech_store : SmallFiles, optional
        Shared store of pieces of speech.
    places : Places, optional
        Places at voice services that all workers share. Without them a limit holds for this process alone.
    catalogue : callable, optional
        Gives the URL or object name of music by id or slug, or None.
    without_music : bool
        Whether a job that still has something to hear goes without music that cannot be had.
    without_cover : "never", "missing" or "always"
        Whether a job goes without a cover that cannot be had: "missing", unless it is refused; "always", for one that
        the job does not name itself.
    """

    config: Config
    fetch: Fetch
    _: KW_ONLY
    voice_file: Path | None = None
    music_file: Path | None = None
    new_takes: Collection[str] = ()
    waited_s: float = math.inf
    asks_refused_voices: bool = True
    check_characters: Callable[[int], None] | None = None
    speech_store: SmallFiles | None = None
    places: Places | None = None
    catalogue: Callable[[str], str | None] | None = None
    without_music: bool = False
    without_cover: WithoutCover = "never"

    def __post_init__(self) -> None:
        self.ffmpeg  # noqa: B018 - searched for now, before a voice is paid for

    @property
    def ffmpeg(self) -> Ffmpeg:
        """The FFmpeg to use."""
        return find_ffmpeg(self.config.ffmpeg)

    @property
    def threads(self) -> int:
        """Segments of the track to work on at once."""
        return self.config.render_threads or available_cores()

    @property
    def limiter_bounds(self) -> LimiterBounds:
        """How far the limiter may go for a track's loudness."""
        return LimiterBounds(self.config.limiter_max_db, self.config.limiter_max_percent / 100)

    def check_voice(self, job: RenderJob) -> None:
        """Fail now where the job's voice cannot be had, before music is fetched and decoded for nothing.

        Raises
        ------
        WorkerError
            As the voice does, unless it is what a fallback is for.
        """
        if self.voice_file is None and PROVIDERS[job.voice.provider].key_variable:
            refusal = None if self.asks_refused_voices else refused_just_now(job.voice, self.config)
            if refusal is not None:
                raise refusal
            try:
                open_voice(job.voice, self.config).close()
            except WorkerError as error:
                if why_fall_back(error) is None:
                    raise

    def speak(self, job: RenderJob, folder: Path, on_progress: Callable[[float], None], said: SpeechStats) -> Speech:
        """Have the voice spoken, or take its recording, and decode it into `folder`."""
        config, recording = self.config, self.voice_file
        if recording is None and job.voice.provider == "uploaded":
            if job.voice.url is None:
                raise JobError("voice.url is missing: an uploaded voice needs the recording's URL or object name")
            recording = self.fetch(job.voice.url, into=folder, what="uploaded voice")
        if recording is not None:
            with _named("uploaded voice"):
                return recorded_speech(
                    recording,
                    ffmpeg=self.ffmpeg,
                    folder=folder,
                    max_seconds=config.max_duration_min * 60,
                    speed=job.voice.recording_speed,
                    processing=VoiceProcessing(job.voice.high_pass_hz, job.voice.declick),
                    tidy=job.voice.tidy,
                    care=job.voice.care,
                    notes=said.notes,
                )
        if job.voice.care != "none":
            said.notes.append("voice.care is for recordings; this voice is spoken, so nothing was done.")
        if config.verify == "report":
            check_recogniser()
        done = 0.0

        def progress(fraction: float) -> None:  # a fallback begins anew
            nonlocal done
            done = max(done, fraction)
            on_progress(done)

        def speak_by(turn: Turn) -> Speech:
            into = folder / f"voice-{turn.number}"
            into.mkdir()
            tried = SpeechStats()
            try:
                speech = self._speak_by(turn, job, into, progress, tried, asked_before=said.asked_characters)
            except WorkerError:
                shutil.rmtree(into, ignore_errors=True)
                raise
            finally:
                said.count(tried, turn.name)
            said.notes.extend(tried.notes)
            said.recognised = tried.recognised
            return speech

        return spoken_by_first(
            job.voice,
            config,
            speak_by,
            waited_s=self.waited_s,
            notes=said.notes,
            asks_anyway=self.asks_refused_voices,
        )

    def _speak_by(
        self,
        turn: Turn,
        job: RenderJob,
        folder: Path,
        on_progress: Callable[[float], None],
        said: SpeechStats,
        *,
        asked_before: int,
    ) -> Speech:
        """Have a job's whole script spoken by one voice; others were asked for some characters of it before."""
        choice, config = turn.choice, turn.config
        voice = open_voice(choice, config)
        if self.places is not None:
            voice.use_places(self.places)
        parts = self._parts(turn, job, voice, said.notes)
        if self.check_characters is not None and (unpaid := self._unpaid(turn, parts, voice)):
            self.check_characters(asked_before + sum(unpaid.values()))
        return speak_script(
            parts,
            voice,
            cache=self._speech_cache,
            ffmpeg=self.ffmpeg,
            folder=folder,
            on_progress=on_progress,
            said=said,
            processing=VoiceProcessing(job.voice.high_pass_hz, job.voice.declick),
            paces=PaceBook(config.cache_dir / "paces"),
            takes=TakeBook(config.cache_dir / "takes"),
            take=choice.take,
            new_takes=self.new_takes,
            verify=config.verify == "report",
            at_once=config.speech_parallel,
            accept_unusable=not turn.another_may_speak,
        )

    @property
    def _speech_cache(self) -> SpeechCache:
        return SpeechCache(self.config.cache_dir / "speech", self.config.tts_cache_max_mb, self.speech_store)

    def _parts(self, turn: Turn, job: RenderJob, voice: Voice, notes: list[str]) -> tuple[Part, ...]:
        """What of a job's script one voice is to speak."""
        config = turn.config
        if turn.choice.provider == "local":
            check_language(job.script)
        script = parse_script(
            job.script,
            keeps_directions=voice.takes_directions,
            pronunciations=Pronunciations({**config.pronounce_file, **job.pronounce}),
        )
        notes.extend(script.notes)
        paces = PaceBook(config.cache_dir / "paces")
        return script_that_fits(
            job, script.parts, voice, fit=config.fit, cache=self._speech_cache, paces=paces, notes=notes
        )

    def _unpaid(self, turn: Turn, parts: Sequence[Part], voice: Voice) -> dict[str, int]:
        """The characters that a paid voice would have to be asked for, by piece."""
        if not PROVIDERS[voice.provider].key_variable:
            return {}
        cache, take = self._speech_cache, turn.choice.take
        return unpaid_characters(parts, voice, cache=cache, take=take, new_takes=self.new_takes)

    def unpaid(self, job: RenderJob) -> list[VoiceUse]:
        """What paid voices would have to be asked for, for each voice of a job; a piece that two of them have once.

        Raises
        ------
        WorkerError
            As `speak` does, where a script cannot be spoken.
        """
        counted: dict[str, int] = {}
        uses: list[VoiceUse] = []
        for of_voice in speech_jobs(job):
            if of_voice.voice.provider == "uploaded" or (of_voice is job and self.voice_file is not None):
                continue
            turn, unpaid = self._unpaid_of(of_voice)
            new = {piece: characters for piece, characters in unpaid.items() if piece not in counted}
            counted |= new
            if new:
                uses.append(VoiceUse(turn.name, sum(new.values()), 0))
        return uses

    def _unpaid_of(self, job: RenderJob) -> tuple[Turn, dict[str, int]]:
        """What the first voice that can be had would have to be asked for."""
        *others, last = possible_turns(job.voice, self.config)
        for turn in (*others, last):
            try:
                voice = open_voice(turn.choice, turn.config)
            except WorkerError:
                if turn is last:
                    raise
                continue
            with closing(voice):
                return turn, self._unpaid(turn, self._parts(turn, job, voice, []), voice)
        raise AssertionError

    def fetch_music(
        self,
        job: RenderJob,
        folder: Path,
        *,
        name: str = MUSIC,
        what: What = "music",
        decoded: MutableMapping[tuple[str | None, ...], Decoded],
    ) -> Music:
        """Get a job's music, decode it into `folder`, and find where it loops.

        Parameters
        ----------
        name : str
            Of its layer, for notes and errors.
        what : "music" or "uploaded voice"
            Whose it is: what may be read depends on it.
        decoded : mapping
            What has been decoded before, by its reference: taken from there, and added.
        """
        music = job.background_music or BackgroundMusic()
        key = (what, str(self.music_file), music.url, music.id, music.name)
        if key not in decoded:
            decoded[key] = self._decode_music(music, folder, name, what)
        clip, energies = decoded[key].clip, decoded[key].energies
        lufs = integrated_lufs(energies)
        if music.loop.way == "once":
            return Music(clip, lufs, once=True)
        frames = None if job.duration_min is None else in_frames(job.duration_min * 60)
        return Music(clip, lufs, loop_of(clip, energies, music.loop, frames=frames, name=name))

    def _decode_music(self, music: BackgroundMusic, folder: Path, name: str, what: What) -> Decoded:
        def fetch(reference: str) -> Path:
            return self.fetch(reference, into=folder, what=what)

        path = self.music_file
        if path is None and what == "music":
            path = find_music(fetch, url=music.url, track_id=music.id, name=music.name, catalogue=self.catalogue)
        elif path is None:
            path = fetch(music.url or "")
        with _named(name if name == MUSIC else f"layer {name}"):
            clip = decode(
                self.ffmpeg,
                path,
                folder / "music.f32",
                sample_rate=SAMPLE_RATE_HZ,
                max_seconds=self.config.max_duration_min * 60,
                timeout_s=_DECODE_TIMEOUT_S,
            )
            if clip.frames < SHORTEST_RECORDING_S * SAMPLE_RATE_HZ:  # here, before a voice is paid for
                raise MediaError(f"{path.name} has {clip.frames} frames", code="media.empty")
        return Decoded(clip, measure_clip(clip).energies)

    def fetch_cover(self, reference: str, folder: Path) -> bytes:
        """Get a cover, written anew as a JPEG or PNG."""
        return clean_cover(self.fetch(reference, into=folder, what="cover"))


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
