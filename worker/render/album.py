"""An album: its tracks at one album gain, a file each, and one of the whole with a chapter a track.

The loudest track comes to the target, and the same gain is applied to all others, so that a quiet one stays as quiet
beside it as it was made: album normalisation as AES TD1008 (2021) recommends it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from dsp.envelope import Constant, Fade
from dsp.in_turn import InTurn
from dsp.loudness import Measurement, integrated_lufs
from dsp.plan import Layer, RenderPlan
from worker.codec.encoding import Encoding
from worker.codec.tags import Chapter, Tags
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
from worker.vendors import speech_figures


@dataclass(frozen=True)
class ProducedAlbum:
    """The reports of all tracks, and that of the whole where it was asked for."""

    tracks: tuple[Report, ...]
    whole: Report | None

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
    on_progress: OnProgress = lambda stage, fraction: None,
) -> ProducedAlbum:
    """Make all tracks of an album, and the whole.

    When a `WorkerError` is raised, nothing is left behind, nor half-written.

    Parameters
    ----------
    tracks : sequence of Path
        A file for each track, in one folder.
    whole : Path or None
        A file for all tracks one after another, in the same folder.
    """
    files = [*tracks, *([] if whole is None else [whole])]
    fractions = [0.0] * len(files)

    def tell(number: int, stage: str, fraction: float) -> None:
        fractions[number] = max(fractions[number], fraction)
        on_progress(stage, sum(fractions) / len(fractions))

    with (
        tempfile.TemporaryDirectory(prefix="mindscript-") as inputs,
        tempfile.TemporaryDirectory(prefix=".mindscript-", dir=files[0].parent) as candidates,
    ):
        measured = [
            _measured(
                album, number, materials, encoding, Path(inputs), lambda *told, number=number: tell(number, *told)
            )
            for number in range(len(tracks))
        ]
        made = [Path(candidates) / path.name for path in files]
        reports: dict[int, Report] = {}
        gain_db: float | None = None
        for number in sorted(range(len(tracks)), key=lambda number: -measured[number].lufs):
            track = measured[number]
            delivery = track.delivery
            if gain_db is not None and math.isfinite(track.lufs):
                delivery = replace(delivery, target_lufs=track.lufs + gain_db)
            delivered, loudness = track.production.deliver(track.plan, made[number], delivery, track.compiled, 0)
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
            whole_report = first.report(result, made[-1], compiled, {}, ffmpeg=materials.ffmpeg.version)
        for file, path in zip(made, files, strict=True):
            file.replace(path)
    on_progress(stages.FINALIZING, 1.0)
    return ProducedAlbum(tuple(reports[number] for number in range(len(tracks))), whole_report)


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
    gap = in_frames(album.gap_s)
    starts = list(accumulate((each.plan.frames + gap for each in tracks[:-1]), initial=0))
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


def _chapters(tags: Sequence[Tags], bounds: Sequence[int]) -> Iterator[Chapter]:
    for number, (tag, start, stop) in enumerate(zip(tags, bounds, bounds[1:], strict=False), start=1):
        yield Chapter(tag.title or f"Track {number}", start / SAMPLE_RATE_HZ, stop / SAMPLE_RATE_HZ)


def _tags_of_the_whole(album: Album, tags: Sequence[Tags], chapters: tuple[Chapter, ...]) -> Tags:
    first = tags[0]
    cover = next((tag.cover for tag in tags if tag.cover), None)
    return replace(first, title=album.title, cover=cover, chapters=chapters, number=None, of=None)
