"""Hears any span of a track at once, while its job is being changed.

The plan is a pure function of time, and recordings are kept decoded, so a change costs a new plan and the span that
is heard. What takes long is the master gain, which follows from the loudness of the whole track: of a long track it is
an estimate, until the whole has been measured.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from dsp.blocks import Block, gain_to_db
from worker.codec.encoding import Encoding
from worker.codec.tags import Tags
from worker.errors import JobError
from worker.payload.schema import RenderJob
from worker.plan.compile import Compiled, compile_plan
from worker.plan.repetitions import merged
from worker.render.deliver import first_programme
from worker.render.estimate import SPAN_HOPS, is_worth_it, measure_spans, sampled_spans, shortened
from worker.render.excerpt import Excerpt, whole_programme
from worker.render.expected_time import ExpectedTime
from worker.render.kept_media import KeptMedia
from worker.render.kept_noise import KeptNoise
from worker.render.materials import Materials
from worker.render.production import Production
from worker.render.programme import Programme, measure
from worker.render.progress import JobProgress, OnProgress

_MOST_GAINS = 32  # of jobs that were measured as a whole
_MOST_PREPARED = 8


class UnpaidSpeechError(JobError):
    """Words that a paid voice would have to speak first.

    Attributes
    ----------
    characters : int
    cents : float or None
        By list price; None where it is not known.
    """

    def __init__(self, characters: int, cents: float | None) -> None:
        price = "" if cents is None else f", about {cents:.1f} ¢"
        super().__init__(f"the script is not spoken yet: {characters} characters{price}", code="speech.unpaid")
        self.characters = characters
        self.cents = cents


def refuse_unpaid(job: RenderJob, materials: Materials) -> Callable[[int], None]:
    """A `check_characters` that lets a job's voices be asked for nothing: it raises `UnpaidSpeechError` for all."""

    def refuse(characters: int) -> None:
        uses = materials.unpaid(job)
        cents = [use.cents for use in uses]
        raise UnpaidSpeechError(
            max(characters, sum(use.asked_characters for use in uses)),
            None if None in cents or not cents else sum(each for each in cents if each is not None),
        )

    return refuse


@dataclass(frozen=True)
class RenderedSpan:
    """A span of a track, before any encoder.

    Attributes
    ----------
    samples : float32 array, shape (frames, 2)
    start, track_frames : int
        Where it begins, and how long the whole track is, in frames.
    master_gain_db : float
    estimated : bool
        Whether the master gain is an estimate; else it is that of the finished track.
    lufs : float
        Loudness of the whole track at this gain, measured as its target is; an estimate where the gain is one, and NaN
        where it is not known.
    notes : tuple of str
        As of the finished track's report, as far as they are known without it.
    """

    samples: Block
    sample_rate: int
    start: int
    track_frames: int
    master_gain_db: float
    estimated: bool
    lufs: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PreparedJob:
    """A job whose recordings are there: its plan, and what its file would have to be."""

    key: str
    production: Production
    compiled: Compiled
    encoding: Encoding

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed, in plain sentences."""
        found = (*self.production.adapted, *self.production.said.notes, *self.compiled.notes)
        return tuple(dict.fromkeys(found))


class Previewer:
    """A context manager that keeps the recordings of the last jobs. Safe to use from several threads.

    Parameters
    ----------
    materials : Materials
        Without a `check_characters` of its own.
    """

    def __init__(self, materials: Materials) -> None:
        self._materials = materials
        self._folder = tempfile.TemporaryDirectory(prefix="mindscript-")
        self._kept = KeptMedia(Path(self._folder.name))
        self._noise = KeptNoise()
        self._lock = threading.Lock()
        self._programmes: OrderedDict[str, Programme] = OrderedDict()
        self._prepared: deque[Path] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was decoded."""
        self._folder.cleanup()

    def prepare(
        self,
        job: RenderJob,
        encoding: Encoding,
        *,
        pay: bool = False,
        on_progress: OnProgress = lambda stage, fraction: None,
    ) -> PreparedJob:
        """Have the recordings of a job ready, and compile it; raises as `worker.render.produce.produce` does.

        Parameters
        ----------
        encoding : Encoding
            Of the finished track: its peaks need more or less room.
        pay : bool
            Whether a paid voice may be asked for words that nobody has paid for yet.

        Raises
        ------
        UnpaidSpeechError
            If it would have to be, and may not.
        """

        heard = job.model_copy(update={"metadata": job.metadata.model_copy(update={"cover": None})})
        materials = (
            self._materials if pay else replace(self._materials, check_characters=refuse_unpaid(job, self._materials))
        )
        folder = self._new_folder()
        progress = JobProgress(on_progress)
        expected = ExpectedTime(heard, self._materials.config, encoding, threads=self._materials.threads)
        recorded = self._materials.voice_file is not None
        expected.foretell(progress, recorded=recorded, uploads=False)
        production = Production(heard, materials, folder, progress, self._kept)
        media, _ = production.prepare()
        compiled = compile_plan(production.job, media, keep=self._noise.of)
        content = production.job.model_dump_json(exclude={"metadata", "lyrics", "chapters", "deliver", "peaks"})
        return PreparedJob(f"{encoding} {content}", production, compiled, encoding)

    def hear(
        self,
        job: PreparedJob,
        start_s: float,
        seconds: float,
        *,
        measured: bool = False,
        on_progress: Callable[[float], None] = lambda fraction: None,
    ) -> RenderedSpan:
        """Make a span of a job's track, as it is in the finished track before the encoder.

        Parameters
        ----------
        start_s, seconds : float
            What goes beyond the track's end is cut off there.
        measured : bool
            Whether to measure the whole track first, where its master gain would be an estimate.
        on_progress : callable
            Gets a fraction a few times a second while the whole is measured; what it raises ends that.

        Raises
        ------
        JobError
            If it begins where the track has ended.
        """
        plan = job.compiled.plan
        start, stop = Excerpt(start_s, seconds).frames_of(plan.frames, plan.sample_rate)
        programme, estimated = self._programme(job, measured=measured, on_progress=on_progress)
        # the level that makes up for the encoder's own change is not heard
        blocks = list(replace(programme, level_db=0.0).blocks(start, stop))
        return RenderedSpan(
            samples=np.concatenate(blocks),
            sample_rate=plan.sample_rate,
            start=start,
            track_frames=plan.frames,
            master_gain_db=round(gain_to_db(programme.gain), 3),
            estimated=estimated,
            lufs=programme.lufs,
            notes=job.notes,
        )

    def _new_folder(self) -> Path:
        """A folder for what is made of a job's recordings; those of the last jobs alone are kept."""
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        with self._lock:
            self._prepared.append(folder)
            old = self._prepared.popleft() if len(self._prepared) > _MOST_PREPARED else None
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def _programme(
        self, job: PreparedJob, *, measured: bool, on_progress: Callable[[float], None]
    ) -> tuple[Programme, bool]:
        """The programme at the finished track's master gain, or at an estimate of it."""
        with self._lock:
            known = self._programmes.get(job.key)
        plan, threads = job.compiled.plan, self._materials.threads
        if known is not None:
            return replace(known, plan=plan), False
        if not measured and is_worth_it(plan):
            spans = sampled_spans(plan, merged((span.start, span.stop) for span in job.compiled.spoken))
            short = shortened(plan, spans)
            delivery = job.production.delivery(replace(job.compiled, plan=short), job.encoding, Tags())
            delivery = replace(delivery, loudness=partial(delivery.loudness, span_hops=SPAN_HOPS))
            guessed = first_programme(short, measure_spans(plan, spans, threads=threads), delivery, threads=threads)
            return replace(guessed, plan=plan), True
        delivery = job.production.delivery(job.compiled, job.encoding, Tags())
        mix = measure(Programme(plan), threads=threads, on_progress=on_progress)
        found = whole_programme(plan, mix, delivery, threads=threads)
        with self._lock:
            self._programmes[job.key] = found
            while len(self._programmes) > _MOST_GAINS:
                self._programmes.popitem(last=False)
        return found, False
