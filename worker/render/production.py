"""The steps of one job on this machine: prepare its media, measure, deliver; and what it goes without."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dsp.loudness import Measurement, integrated_lufs, speech_lufs
from dsp.plan import RenderPlan
from worker.codec.encoding import Encoding
from worker.codec.tags import Tags
from worker.errors import MediaError, WorkerError
from worker.media.reference import REFUSED, What
from worker.payload.layers import Layer, MusicLayer, RecordingLayer, SpeechLayer
from worker.payload.schema import RenderJob
from worker.payload.short_form import MUSIC
from worker.plan.compile import Compiled
from worker.plan.layer_jobs import music_job, speech_job, speech_jobs
from worker.plan.recordings import Media, Music, Speech
from worker.render import stages
from worker.render.chapters import chapters
from worker.render.deliver import Delivered, Delivery, deliver
from worker.render.files_beside import further_file
from worker.render.kept_media import KeptMedia
from worker.render.master import LoudnessOf
from worker.render.materials import Decoded, Materials
from worker.render.preview import PREVIEW_FADE_FRAMES, EarlyPreview
from worker.render.programme import Programme, measure
from worker.render.progress import JobProgress
from worker.render.report import layer_loudness
from worker.render.stems import Stems, write_stems
from worker.tts.shorten import Fitted, fitted
from worker.tts.speech import SpeechStats


@dataclass
class Production:
    """The steps of one job, and what it goes without.

    With `kept` its recordings are taken from there, and stay there for the job as it is next.
    """

    job: RenderJob
    materials: Materials
    folder: Path
    progress: JobProgress
    kept: KeptMedia | None = None
    said: SpeechStats = field(default_factory=SpeechStats)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    adapted: list[str] = field(default_factory=list)
    music_error: MediaError | None = None
    cover_error: MediaError | None = None
    preview_error: str | None = None
    _measured: dict[int, Measurement] = field(default_factory=dict)
    _decoded: dict[tuple[str | None, ...], Decoded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kept is not None:
            self.kept.make_room(len(self.job.layer_list) + 1)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.stage_seconds.get(stage, 0.0) + time.perf_counter() - started
            self.stage_seconds[stage] = round(seconds, 3)

    def prepare(self) -> tuple[Media, bytes | None]:
        """Fetch music and cover, and have all scripts spoken; in this order, since speech may have to be paid for."""
        for of_voice in speech_jobs(self.job):
            if self.kept is None or not self.kept.has_speech(of_voice):
                self.materials.check_voice(of_voice)
        listed: dict[str, Speech | Music] = {}
        with ThreadPoolExecutor(1, thread_name_prefix="recording") as beside:
            # a recording costs nothing, so it is fetched and decoded beside the music
            recorded = self.materials.voice_file is not None or self.job.voice.provider == "uploaded"
            recording = beside.submit(self._speak) if recorded else None
            with self.timed("fetch"):
                music = self._fetch_music()
                listed |= self._fetch_listed()
                cover = self._fetch_cover()
            with self.timed("speak"):
                speech = None
                if recording is not None or self.job.has_voice:
                    self.progress.at("speak", stages.SPEAKING, 0.0)
                    into_track = self._fitted(self.job, self._speak() if recording is None else recording.result())
                    self.job, speech = into_track.job, into_track.speech
                listed |= self._speak_listed()
                if speech is not None or self.job.speech_layers:
                    self.progress.at("speak", stages.SPOKEN, 1.0)
        return Media(speech, music, listed), cover

    @property
    def _voices(self) -> list[tuple[int, SpeechLayer]]:
        """The voices of the job's list, with their numbers in it."""
        return [(number, layer) for number, layer in enumerate(self.job.layer_list) if isinstance(layer, SpeechLayer)]

    def _folder_of(self, number: int) -> Path:
        """A folder of its own for what is made for a layer of the list."""
        folder = self.folder / f"layer-{number}"
        folder.mkdir(exist_ok=True)
        return folder

    def _fitted(self, job: RenderJob, speech: Speech, folder: Path | None = None) -> Fitted:
        return fitted(job, speech, fit=self.materials.config.fit, folder=folder or self.folder, notes=self.said.notes)

    def _speak(self) -> Speech:
        return self._spoken(self.job, self.materials, self.folder, 0)

    def _spoken(self, job: RenderJob, materials: Materials, folder: Path, place: int) -> Speech:
        """Have the voice of a job spoken, which has this place among all voices."""
        voices = max(1, len(self.job.speech_layers))

        def speak(folder: Path, said: SpeechStats) -> Speech:
            return materials.speak(
                job, folder, lambda done: self.progress.at("speak", stages.SPEAKING, (place + done) / voices), said
            )

        if self.kept is None:
            return speak(folder, self.said)
        speech, said = self.kept.speech(job, speak)
        self.said.add(said)
        return speech

    def _speak_listed(self) -> dict[str, Speech]:
        """Have the scripts of the list spoken, each as if it were the job's own."""
        spoken: dict[str, Speech] = {}
        voices = self._voices
        for place, (number, layer) in enumerate(voices, start=len(self.job.speech_layers) - len(voices)):
            folder, of_layer = self._folder_of(number), speech_job(self.job, layer)
            into_track = self._fitted(of_layer, self._spoken(of_layer, self._own_media, folder, place), folder)
            spoken[layer.name] = into_track.speech
            start_s = into_track.job.start_delay_s
            if start_s != layer.start_s:  # it begins earlier, so that it fits
                self._change_list(layer, layer.model_copy(update={"start_s": start_s}))
        return spoken

    @property
    def _own_media(self) -> Materials:
        """The materials as the layers of the list have it: the files of the command line are for the job's own ones."""
        return replace(self.materials, voice_file=None, music_file=None)

    def _change_list(self, layer: Layer, by: Layer | None) -> None:
        """Put another layer into the place of one in the job's list, or none."""
        changed = (by if each is layer else each for each in self.job.layer_list)
        self.job = self.job.model_copy(update={"layer_list": tuple(each for each in changed if each is not None)})

    def _fetch_music(self) -> Music | None:
        if self.job.background_music is None and self.materials.music_file is None:
            return None
        self.progress.at("fetch", stages.FETCHING_MUSIC, 0.0)
        music = self._fetched(self.job, self.materials, self.folder, MUSIC)
        if music is None:
            self.job = self.job.model_copy(update={"background_music": None})
        else:
            self.progress.at("fetch", stages.MUSIC_READY, 1.0)
        return music

    def _fetch_listed(self) -> dict[str, Music]:
        """Fetch and decode the music and recordings of the list; a file that is there twice once only."""
        fetched: dict[str, Music] = {}
        for number, layer in enumerate(self.job.layer_list):
            if not isinstance(layer, MusicLayer | RecordingLayer):
                continue
            self.progress.at("fetch", stages.FETCHING_MUSIC, 0.0)
            what: What = "music" if isinstance(layer, MusicLayer) else "uploaded voice"
            of_layer, folder = music_job(self.job, layer), self._folder_of(number)
            music = self._fetched(of_layer, self._own_media, folder, layer.name, what=what)
            if music is None:
                self._change_list(layer, None)
            else:
                fetched[layer.name] = music
        return fetched

    def _fetched(
        self, job: RenderJob, materials: Materials, folder: Path, name: str, *, what: What = "music"
    ) -> Music | None:
        """Get the music of a job, for the layer of this name; None where the job goes without."""
        fetch = partial(materials.fetch_music, job, name=name, what=what)
        try:
            if self.kept is None:
                return fetch(folder, decoded=self._decoded)
            return self.kept.music(job, partial(fetch, decoded={}), what)  # each may be removed without the others
        except MediaError as error:
            if what != "music" or not materials.without_music or set(self.job.layers) <= {name}:
                raise
            self.music_error = self.music_error or error
            self.adapted.append(f"{error.customer_message.partition('.')[0]}; the track was made without it")
            return None

    def _fetch_cover(self) -> bytes | None:
        if self.job.metadata.cover is None:
            return None
        without = self.materials.without_cover
        try:
            return self.materials.fetch_cover(self.job.metadata.cover, self.folder)
        except MediaError as error:
            if without == "never" or (without == "missing" and error.code == REFUSED):
                raise
            self.cover_error = error
            self.adapted.append("The cover of this order could not be used; the track was made without it")
            return None

    def delivery(self, compiled: Compiled, encoding: Encoding, tags: Tags) -> Delivery:
        """What the file has to be."""
        job = self.job
        bounds = self.materials.limiter_bounds if job.safety.loudness == "balance" else None
        spoken, peaks = tuple(compiled.spoken), job.peaks
        delivery = Delivery(encoding, tags, job.target_lufs, job.safety.limiter, spoken, bounds, peaks=peaks)
        if job.safety.measure == "speech":
            delivery = replace(delivery, loudness=self._speech_loudness(compiled))
        return delivery

    def _speech_loudness(self, compiled: Compiled) -> LoudnessOf:
        """What measures the loudness of the speech in a track; of the whole, where there is no speech to hear."""
        plan = compiled.plan
        voice = replace(plan, layers=tuple(layer for layer in plan.layers if layer.name in compiled.voices))
        with self.timed("measure"):
            energies = measure(Programme(voice), threads=self.materials.threads).energies
        if math.isinf(integrated_lufs(energies)):
            self.adapted.append("loudness: there is no speech to measure, so the whole track was measured")
            return integrated_lufs
        return partial(speech_lufs, voice=energies)

    def measure(self, plan: RenderPlan, number: int = 0) -> Measurement:
        """Measure the mix of the job's first or second track, unless that has been done: pass 1."""
        if number not in self._measured:
            with self.timed("measure"):
                self._measured[number] = measure(
                    Programme(plan),
                    threads=self.materials.threads,
                    on_progress=lambda done: self.progress.at(f"measure {number}", stages.MIXING, done),
                )
        return self._measured[number]

    def early_preview(
        self, out: Path, seconds: float, compiled: Compiled, tags: Tags, beside: Executor
    ) -> EarlyPreview:
        """A preview for `deliver`: from where every layer sounds, under the track's title."""
        start = compiled.heard_from - PREVIEW_FADE_FRAMES
        return EarlyPreview(out, start, seconds, Tags(title=tags.title), self.materials.ffmpeg, beside)

    def deliver(
        self,
        plan: RenderPlan,
        out: Path,
        delivery: Delivery,
        compiled: Compiled,
        number: int,
        preview: EarlyPreview | None = None,
    ) -> tuple[Delivered, dict[str, float]]:
        """Measure the mix and make the file; also the loudness of each layer, and the preview, beside the encoding."""
        mix = self.measure(plan, number)
        with self.timed("deliver"), ThreadPoolExecutor(1, thread_name_prefix="layers") as beside:
            loudness = beside.submit(layer_loudness, plan, compiled.layer_gains_db, compiled.recorded_lufs)
            delivered = deliver(
                plan,
                mix,
                out,
                delivery,
                ffmpeg=self.materials.ffmpeg,
                threads=self.materials.threads,
                on_progress=lambda done: self.progress.at(f"encode {number}", stages.MIXING, done),
                on_programme=(lambda _: None) if preview is None else preview.begin,
            )
            layers_lufs = loudness.result()
        self.progress.at(f"encode {number}", stages.MIXED, 1.0)
        if preview is not None:
            self._finish(preview, delivered.programme)
        return delivered, layers_lufs

    def further(self, plan: RenderPlan, delivery: Delivery, track: Path) -> Iterator[tuple[Path, Delivered]]:
        """Make the first track in the job's further formats, beside it; its mix is known from `deliver`."""
        for format_ in self.job.further_formats:
            out, part = further_file(track, format_), f"encode {format_}"
            encoding = Encoding.for_quality(format_, self.job.output.quality)
            with self.timed("deliver"):
                delivered = deliver(
                    plan,
                    self._measured[0],
                    out,
                    replace(delivery, encoding=encoding, peaks=False),
                    ffmpeg=self.materials.ffmpeg,
                    threads=self.materials.threads,
                    on_progress=partial(self.progress.at, part, stages.MIXING),
                )
            yield out, delivered

    def stems(self, programme: Programme, track: Path) -> Stems:
        """Make the stems of the first track, and their list, beside it."""
        self.progress.at("stems", stages.MIXING, 0.0)
        with self.timed("stems"):
            made = write_stems(
                programme,
                track,
                title=self.job.metadata.title,
                ffmpeg=self.materials.ffmpeg,
                threads=self.materials.threads,
            )
        self.progress.at("stems", stages.MIXED, 1.0)
        return made

    def _finish(self, preview: EarlyPreview, programme: Programme) -> None:
        """Have the preview; without one the track is delivered all the same."""
        self.progress.at("preview", stages.PREVIEWING, 0.0)
        try:
            with self.timed("preview"):
                preview.finish(programme)
        except (WorkerError, OSError) as error:
            self.preview_error = str(error)
            self.adapted.append("There is no preview: it could not be made")
            preview.out.unlink(missing_ok=True)
        else:
            self.progress.at("preview", stages.PREVIEWED, 1.0)


def make_tags(job: RenderJob, compiled: Compiled, cover: bytes | None) -> Tags:
    """Make the file's tags: what the job says, and its chapters."""
    data = job.metadata
    return Tags(
        title=data.title,
        artist=data.artist,
        album=data.album,
        comment="Made by mindscript-audio-worker",
        cover=cover,
        chapters=chapters(compiled.spoken, job.chapters, frames=compiled.plan.frames),
    )
