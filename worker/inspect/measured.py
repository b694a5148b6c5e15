"""A finished file, measured in one pass: its figures, picture and page, and what the report of its job promises."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from worker.errors import ConfigurationError, JobError
from worker.ffmpeg.program import Ffmpeg
from worker.inspect.inspection import Inspection, Inspector
from worker.inspect.lyrics import Span, voice_of
from worker.inspect.named import PERHAPS_MUSIC, Named, named, other_tones
from worker.inspect.reports import FoundReport, TrackReport, doubt, find_report
from worker.inspect.waveform import Waveform, WaveformBuilder
from worker.inspect.words import clock, signed
from worker.media.decode import SoundStream, opened_sound
from worker.media.sniff import mp3_encoder
from worker.printable import printable

if TYPE_CHECKING:
    from dsp.k_weighting import Energies


@dataclass(frozen=True)
class MeasuredFile:
    """A file that was measured, and what lies beside it."""

    file: Path
    result: Inspection
    figures: dict[str, Any]
    energies: Energies
    drawn: Waveform | None
    voice: Sequence[Span]
    report: TrackReport | None
    notes: tuple[str, ...]
    container: str
    codec: str

    @property
    def names(self) -> list[Named]:
        """Tones and beats, as they are called."""
        return named(self.result, None if self.report is None else self.report.promised)

    @property
    def remarks(self) -> list[str]:
        """What is to be said of the tones as a whole."""
        promised = None if self.report is None else self.report.promised
        if promised is not None and self.result.promised is not None:
            count = other_tones(self.result, promised)
            words = f"{count} other steady tone{'s' if count > 1 else ''}, probably partials of the music"
            return [words] if count else []
        return [PERHAPS_MUSIC] if self.names else []

    @property
    def facts(self) -> str:
        """The line below the title."""
        result = self.result
        return "  ·  ".join(
            (
                f"{self.figures['codec'].upper()} {self.figures['average_kbps']:.0f} kbit/s",
                clock(result.duration_s),
                signed(result.integrated_lufs, "LUFS"),
                f"LRA {result.loudness_range_lu:.1f} LU",
                signed(result.true_peak_dbtp, "dBTP"),
            )
        )

    def draw(self, out: Path) -> None:
        """Draw the picture as a PNG.

        Raises
        ------
        ConfigurationError
            If Matplotlib is not installed.
        """
        if find_spec("matplotlib") is None:
            raise no_matplotlib("a picture")
        from worker.inspect.picture import draw

        assert self.drawn is not None  # noqa: S101 - it was asked for
        draw(
            out,
            title=printable(self.file.name, longest=None),
            subtitle=self.facts,
            drawn=self.drawn,
            energies=self.energies,
            result=self.result,
            names=self.names,
            remarks=self.remarks,
            voice=self.voice,
            layers={} if self.report is None else self.report.sounding,
            target_lufs=None if self.report is None else self.report.target_lufs,
        )

    def write_page(self, out: Path, ffmpeg: Ffmpeg) -> None:
        """Write one page to send, which loads nothing; without Matplotlib it has no picture."""
        from importlib.metadata import version

        from worker.inspect.embed import sound_of
        from worker.inspect.page import Page, render_page
        from worker.inspect.receipt import receipt

        assert self.drawn is not None  # noqa: S101 - it was asked for
        picture = None
        if find_spec("matplotlib") is not None:
            with tempfile.TemporaryDirectory(prefix="mindscript-") as folder:
                drawing = Path(folder) / "picture.png"
                self.draw(drawing)
                picture = drawing.read_bytes()
        lines = receipt(self.result, self.report)
        page = Page(
            title=printable(self.file.name, longest=None),
            facts=self.facts,
            seconds=self.result.duration_s,
            waveform=self.drawn,
            voice=self.voice,
            receipt=replace(lines, notes=(*self.notes, *lines.notes)),
            tones=[f"{name.words}{'' if name.state is None else f': {name.state}'}" for name in self.names],
            tones_remark=". ".join(self.remarks),
            picture_png=picture,
            sound=sound_of(ffmpeg, self.file, self.result, container=self.container, codec=self.codec),
            footer=f"Measured on the decoded file by mindscript-audio-worker {version('mindscript-audio-worker')}. "
            "This page loads nothing from anywhere.",
        )
        out.write_text(render_page(page), encoding="utf-8")


def no_matplotlib(what: str) -> ConfigurationError:
    """The error where something is to be drawn and nothing here draws."""
    return ConfigurationError(
        f"{what} needs matplotlib: pip install 'mindscript-audio-worker[picture]'", code="configuration.extra"
    )


@dataclass(frozen=True)
class SideFiles:
    """What is known of a file before it is measured: where its voice is, and its report, named or beside it."""

    voice: Sequence[Span]
    found: FoundReport
    report: Path | None

    @classmethod
    def of(cls, file: Path, *, lyrics: Path | None = None, report: Path | None = None) -> Self:
        """Read them; raises `JobError` if one that is named cannot be read, or is none."""
        found = find_report(file, report)
        return cls(voice_of(file, lyrics), found, report)


def measure_file(file: Path, *, ffmpeg: Ffmpeg, beside: SideFiles | None = None, drawn: bool = False) -> MeasuredFile:
    """Measure a file in one pass, and hold its report against it.

    Parameters
    ----------
    beside : SideFiles, optional
        By default what lies beside the file.
    drawn : bool
        Whether a picture or a page will be asked for.

    Raises
    ------
    JobError
        If the report that is named is not of this file, or cannot be read.
    MediaError
        If the file is no sound.
    """
    beside = beside or SideFiles.of(file)
    told, note, voice, report = beside.found.report, beside.found.note, beside.voice, beside.report
    with opened_sound(ffmpeg, file) as sound:
        inspector = Inspector(sound.sample_rate, None if told is None else told.promised)
        waveform = WaveformBuilder(sound.sample_rate) if drawn else None
        for block in sound.blocks:
            inspector.add(block)
            if waveform is not None:
                waveform.add(block)
    result = inspector.result()
    if told is not None and (why := doubt(told, result)) is not None:
        if report is not None:
            raise JobError(f"--report: {report} is not the report of {file.name}: {why}")
        note, told, result = f"{told.name} is not the report of this file: {why}", None, replace(result, promised=None)
    return MeasuredFile(
        file=file,
        result=result,
        figures=_figures(file, sound, result, voice, told, note),
        energies=inspector.energies,
        drawn=None if waveform is None else waveform.result(),
        voice=voice,
        report=told,
        notes=() if note is None else (note,),
        container=sound.container,
        codec=sound.codec,
    )


def _figures(
    file: Path,
    sound: SoundStream,
    result: Inspection,
    voice: Sequence[Span],
    report: TrackReport | None,
    note: str | None,
) -> dict[str, Any]:
    size = file.stat().st_size
    return {
        "file": file.name,
        "codec": sound.codec,
        "encoder": mp3_encoder(file) if sound.codec == "mp3" else None,
        "channels": sound.source_channels,
        "size_bytes": size,
        "average_kbps": round(size * 8 / 1000 / result.duration_s, 1),
        **asdict(result),
        "voice": {"spans": len(voice), "seconds": round(sum(stop - start for start, stop in voice), 2)}
        if voice
        else None,
        "report": None if report is None else {"file": report.name, "target_lufs": report.target_lufs},
        "report_note": note,
    }
