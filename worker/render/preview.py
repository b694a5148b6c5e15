"""The preview: a short MP3 of a track, faded, at the track's own gain."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from dsp.blocks import Block, amplify, gain_to_db
from dsp.envelope import Fade
from dsp.loudness import LoudnessMeter, rounded_db
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.segments import Track
from worker.codec.tags import Tags
from worker.errors import QualityError
from worker.ffmpeg.program import Ffmpeg
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.render.deliver import MOST_DBTP, MOST_ENCODES
from worker.render.programme import Programme

PREVIEW_FADE_S = 0.5
PREVIEW_FADE_FRAMES = round(PREVIEW_FADE_S * SAMPLE_RATE_HZ)  # the fade-in must not swallow the first word
_ENCODING = Encoding("mp3", 128)


@dataclass
class EarlyPreview:
    """A track's preview, begun beside the first encoding: what is encoded first is nearly always what is delivered.

    So its FFmpeg starts while others work, and nobody waits for it: some 0.1 s of a job.
    """

    out: Path
    start: int
    seconds: float
    tags: Tags
    ffmpeg: Ffmpeg
    executor: Executor
    _begun: tuple[Programme, Future[None]] | None = field(default=None, init=False)

    def begin(self, programme: Programme) -> None:
        """Begin it, unless it has begun."""
        if self._begun is None:
            self._begun = programme, self.executor.submit(self._make, programme)

    def finish(self, programme: Programme) -> None:
        """Have it of the programme that was delivered; raises what `deliver_preview` raises."""
        if self._begun is not None:
            first, future = self._begun
            if first is programme:
                future.result()
                return
            wait([future])
        self._make(programme)

    def _make(self, programme: Programme) -> None:
        deliver_preview(programme, self.out, start=self.start, seconds=self.seconds, tags=self.tags, ffmpeg=self.ffmpeg)


def deliver_preview(programme: Programme, out: Path, *, start: int, seconds: float, tags: Tags, ffmpeg: Ffmpeg) -> int:
    """Encode `seconds` of the track at its own gain, faded in and out over 0.5 s; returns the frames.

    Raises `QualityError` if its decoded peaks stay above the limit.
    """
    plan = programme.plan
    length = min(round(seconds * plan.sample_rate), plan.frames)
    start = max(0, min(start, plan.frames - length))
    fade_frames = min(round(PREVIEW_FADE_S * plan.sample_rate), length // 2)
    fade = Fade(length, fade_frames, fade_frames)
    headroom_db = max(_ENCODING.headroom_db, MOST_DBTP - programme.ceiling_dbtp)
    for _ in range(MOST_ENCODES):
        preview = replace(
            programme,
            ceiling_dbtp=MOST_DBTP - headroom_db,
            limiting=True,
            level_db=-_ENCODING.level_change_db,
        )

        def faded(first: int, last: int, preview: Programme = preview) -> Iterator[Block]:
            frame = first
            for block in preview.blocks(start + first, start + last):
                yield amplify(block, fade.at(frame, frame + len(block)))
                frame += len(block)

        meter = LoudnessMeter(plan.sample_rate, true_peak=True)
        encode(Track(faded, length, plan.sample_rate, tags, ffmpeg, on_decoded=meter.add), out, _ENCODING)
        over_db = gain_to_db(meter.result().true_peak) - MOST_DBTP
        if over_db <= 0:
            return length
        headroom_db += rounded_db(over_db) + 0.1
    raise QualityError(f"the preview peaks {over_db:.2f} dB above {MOST_DBTP:.1f} dBTP after {MOST_ENCODES} encodings")
