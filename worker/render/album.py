"""An album: its tracks at one album gain, a file each, and one of the whole with a chapter a track.

The loudest track comes to the target, and the same gain is applied to all others, so that a quiet one stays as quiet
beside it as it was made: album normalisation as AES TD1008 (2021) recommends it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from dsp.envelope import Constant, Fade
from dsp.in_turn import InTurn
from dsp.loudness import Measurement, integrated_lufs
from dsp.plan import Layer, RenderPlan
from worker.codec.encoding import Encoding
from worker.codec.tags import Chapter, Tags
from worker.errors import MediaError
from worker.payload.album import Album
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.plan.compile import Compiled, compile_plan
from worker.plan.recordings import in_frames
from worker.render import stages
from worker.render.deliver import Delivered, Delivery, deliver
from worker.render.expected_time import ExpectedTime
from worker.render.materials import Materials
from worker.render.production import Production, make_tags
from worker.render.programme import Programme, measure
from worker.render.progress import JobProgress, OnProgress
from worker.render.report import Report, make_report
from worker.tts.speech import SpeechStats
from worker.vendors import speech_figures


@dataclass(frozen=True)
class ProducedAlbum:
    """The reports of all tracks, and that of the whole where it was asked for.

    Attributes
    ----------
    files : tuple of Path
        Of the tracks.
    starts_s : tuple of float
        Where each track begins in the whole, in seconds.
    music_error, cover_error, preview_error
        As of `worker.render.produce.Produced`; the first one of all tracks.
    """

    tracks: tuple[Report, ...]
    whole: Report | None
    files: tuple[Path, ...]
    starts_s: tuple[float, ...]
    music_error: MediaError | None = None
    cover_error: MediaError | None = None
    preview_error: str | None = None
    lyrics: tuple[Path, ...] = ()

    @property
    def report(self) -> Report:
        """That of the whole."""
        if self.whole is None:
            raise ValueError("the whole was not asked for")
        return self.whole

    @property
    def beside(self) -> tuple[Path, ...]:
        """All files beside that of the whole."""
        return self.files

    def as_json(self) -> dict[str, Any]:
        """The reports as one document."""
        whole = None if self.whole is None else self.whole.as_json()
        return {"tracks": [report.as_json() for report in self.tracks], "whole": whole}


@dataclass(frozen=True)
class _Track:
    """A track whose mix has been measured."""

    production: Production
    compiled: Compiled
    delivery: Delivery
    mix: Measurement

    @property
    def plan(self) -> RenderPlan:
        return self.compiled.plan

    @property
    def lufs(self) -> float:
        """Loudness of its mix, measured as its target is."""
        return self.delivery.loudness(self.mix.energies)

    def report(
        self, delivered: Delivered, made: Path, compiled: Compiled, loudness: Mapping[str, float], *, ffmpeg: str
    ) -> Report:
        """The report of this track, or with another plan of the whole; `loudness` as of `layer_loudness`."""
        said = self.production.said
        is_own = compiled is self.compiled
        return make_report(
            made,
            delivered,
            compiled,
            name=made.name,
            loudness=loudness,
            ffmpeg=ffmpeg,
            stage_seconds=self.production.stage_seconds,
            speech_cache={"hits": said.hits, "misses": said.misses},
            speech=speech_figures(said.uses),
            notes=(*self.production.adapted, *said.notes, *compiled.notes) if is_own else (),
        )


def produce_album(
    album: Album,
    tracks: Sequence[Path],
    whole: Path | None,
    *,
    materials: Materials,
    encoding: Encoding,
    preview: Path | None = None,
    preview_s: float = 15.0,
    on_progress: OnProgress = lambda stage, fraction: None,
    uploads: bool = False,
) -> ProducedAlbum:
    """Make all tracks of an album, and the whole.

    When a `WorkerError` is raised, nothing is left behind, nor half-written.

    Parameters
    ----------
    tracks : sequence of Path
        A file for each track, in one folder.
    whole : Path or None
        A file for all tracks one after another, in the same folder.
    preview, preview_s
        As of `worker.render.produce.produce`; of the first track.
    uploads : bool
        Whether an upload follows, with which the job ends.
    """
    files = [*tracks, *([] if whole is None else [whole])]
    fractions = [0.0] * len(files)

    def tell(number: int, stage: str, fraction: float) -> None:
        fractions[number] = max(fractions[number], fraction)
        on_progress(stage, sum(fractions) / len(fractions))

    with (
        tempfile.TemporaryDirectory(prefix="mindscript-") as inputs,
        tempfile.TemporaryDirectory(prefix=".mindscript-", dir=files[0].parent) as candidates,
        ThreadPoolExecutor(1, thread_name_prefix="preview") as beside,
    ):
        measured: list[_Track] = []
        for number in range(len(tracks)):
            asked = sum(each.production.said.asked_characters for each in measured)
            one = replace(materials, check_characters=_counting_from(asked, materials.check_characters))
            told = partial(tell, number)
            measured.append(_measured(album, number, one, encoding, Path(inputs), told))
        made = [Path(candidates) / path.name for path in files]
        reports: dict[int, Report] = {}
        gain_db: float | None = None
        for number in sorted(range(len(tracks)), key=lambda number: -measured[number].lufs):
            track = measured[number]
            delivery = track.delivery
            if gain_db is not None and math.isfinite(track.lufs):
                delivery = replace(delivery, target_lufs=track.lufs + gain_db)
            early = None
            if preview is not None and number == 0:
                early = track.production.early_preview(preview, preview_s, track.compiled, delivery.tags, beside)
            delivered, loudness = track.production.deliver(track.plan, made[number], delivery, track.compiled, 0, early)
            if gain_db is None and delivery.target_lufs is not None:
                gain_db = delivered.programme.gain_db
            reports[number] = track.report(
                delivered, made[number], track.compiled, loudness, ffmpeg=materials.ffmpeg.version
            )
        whole_report = None
        if whole is not None:
            tags = [each.delivery.tags for each in measured]
            compiled, chapters = _in_turn(album, [each.compiled for each in measured], tags)
            first = measured[0]
            mix = measure(Programme(compiled.plan), threads=materials.threads)
            lufs = integrated_lufs(mix.energies)
            result = deliver(
                compiled.plan,
                mix,
                made[-1],
                replace(
                    first.delivery,
                    tags=_tags_of_the_whole(album, tags, chapters),
                    target_lufs=None if gain_db is None or math.isinf(lufs) else lufs + gain_db,
                    spoken=compiled.spoken,
                    loudness=integrated_lufs,
                ),
                ffmpeg=materials.ffmpeg,
                threads=materials.threads,
                on_progress=lambda done: tell(len(tracks), stages.MIXING, done),
            )
            everything = replace(first, production=replace(first.production, said=_all_said(measured), adapted=[]))
            whole_report = everything.report(result, made[-1], compiled, {}, ffmpeg=materials.ffmpeg.version)
        for file, path in zip(made, files, strict=True):
            file.replace(path)
    if not uploads:
        on_progress(stages.FINALIZING, 1.0)
    productions = [each.production for each in measured]
    return ProducedAlbum(
        tuple(reports[number] for number in range(len(tracks))),
        whole_report,
        files=tuple(tracks),
        starts_s=tuple(start / SAMPLE_RATE_HZ for start in _starts(album, [each.compiled for each in measured])),
        music_error=next((each.music_error for each in productions if each.music_error), None),
        cover_error=next((each.cover_error for each in productions if each.cover_error), None),
        preview_error=productions[0].preview_error,
    )


def _counting_from(asked: int, check: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """A check of a track's characters that counts those of the tracks before it, too."""
    return None if check is None else lambda characters: check(asked + characters)


def _all_said(tracks: Sequence[_Track]) -> SpeechStats:
    """What all tracks had spoken."""
    said = SpeechStats()
    for each in tracks:
        said.add(each.production.said)
    return said


def _measured(
    album: Album, number: int, materials: Materials, encoding: Encoding, inputs: Path, on_progress: OnProgress
) -> _Track:
    """Prepare one track, and measure its mix."""
    folder = inputs / str(number)
    folder.mkdir()
    job = album.jobs[number]
    progress = JobProgress(on_progress)
    ExpectedTime(job, materials.config, encoding, threads=materials.threads).foretell(
        progress, recorded=False, uploads=False
    )
    production = Production(job, materials, folder, progress)
    media, cover = production.prepare()
    compiled = compile_plan(production.job, media)
    tags = replace(make_tags(production.job, compiled, cover), number=number + 1, of=len(album.jobs))
    delivery = production.delivery(compiled, encoding, tags)
    return _Track(production, compiled, delivery, production.measure(compiled.plan))


def _in_turn(album: Album, tracks: Sequence[Compiled], tags: Sequence[Tags]) -> tuple[Compiled, tuple[Chapter, ...]]:
    """The whole as a plan of its own, and its chapters."""
    starts = _starts(album, tracks)
    frames = starts[-1] + tracks[-1].plan.frames
    source = InTurn(tuple(each.plan for each in tracks), tuple(starts))
    plan = RenderPlan(SAMPLE_RATE_HZ, frames, (Layer("album", source, Constant(1.0)),), Fade(frames, 0, 0))
    spoken = tuple(
        replace(span, start=span.start + start, stop=span.stop + start)
        for each, start in zip(tracks, starts, strict=True)
        for span in each.spoken
    )
    compiled = Compiled(
        plan=plan,
        twin=None,
        repetitions=sum(each.repetitions for each in tracks),
        spoken=spoken,
        layers=(),
        layer_gains_db={},
        recorded_lufs={},
        heard_from=0,
        notes=(),
    )
    return compiled, tuple(_chapters(tags, [*starts, frames]))


def _starts(album: Album, tracks: Sequence[Compiled]) -> list[int]:
    """The first frame of each track in the whole."""
    gap = in_frames(album.gap_s)
    return list(accumulate((each.plan.frames + gap for each in tracks[:-1]), initial=0))


def _chapters(tags: Sequence[Tags], bounds: Sequence[int]) -> Iterator[Chapter]:
    for number, (tag, start, stop) in enumerate(zip(tags, bounds, bounds[1:], strict=False), start=1):
        yield Chapter(tag.title or f"Track {number}", start / SAMPLE_RATE_HZ, stop / SAMPLE_RATE_HZ)


def _tags_of_the_whole(album: Album, tags: Sequence[Tags], chapters: tuple[Chapter, ...]) -> Tags:
    first = tags[0]
    cover = next((tag.cover for tag in tags if tag.cover), None)
    return replace(first, title=album.title, cover=cover, chapters=chapters, number=None, of=None)
