"""`mindscript-worker inspect`: measures a finished file's decoded sound, draws it, makes a page to send."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.outputs import PICTURE_ENDINGS, Output, Overwrite, check_outputs, staged
from worker.config import Config
from worker.errors import ConfigurationError, JobError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.inspect.inspection import Inspection, Inspector
from worker.inspect.lyrics import Span, voice_of
from worker.inspect.named import PERHAPS_MUSIC, Named, named, other_tones
from worker.inspect.reports import TrackReport, doubt, find_report, report_beside
from worker.inspect.waveform import Waveform, WaveformBuilder
from worker.inspect.words import clock, signed
from worker.media.decode import SoundStream, opened_sound
from worker.media.sniff import mp3_encoder
from worker.printable import printable

if TYPE_CHECKING:
    from dsp.loudness import Energies

PAGE_ENDINGS = (".html", ".htm")


@dataclass(frozen=True)
class _Inspected:
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


def inspect(
    config: Config,
    *,
    file: Path,
    picture: Path | None,
    html: Path | None,
    force: bool,
    loop: bool,
    as_json: bool = False,
    lyrics: Path | None,
    report: Path | None,
) -> int:
    """Run the command; for the arguments see `worker.cli.arguments`."""
    overwrite = Overwrite(force=force)
    if picture is not None and find_spec("matplotlib") is None:
        raise ConfigurationError(
            "--picture needs matplotlib: pip install 'mindscript-audio-worker[picture]'", code="configuration.extra"
        )
    wanted = (("--picture", picture, PICTURE_ENDINGS), ("--html", html, PAGE_ENDINGS))
    outputs = [Output(option, path, endings) for option, path, endings in wanted if path is not None]
    read = (file, lyrics or file.with_suffix(".vtt") if file.name else None, report or report_beside(file))
    check_outputs(outputs, [path for path in read if path is not None], overwrite)
    if loop:
        if lyrics is not None or report is not None or html is not None:
            raise JobError("--loop: found with --lyrics, --report or --html, which are of finished tracks")
        from worker.cli.inspect_loop import inspect_loop

        return inspect_loop(config, file, picture=picture, overwrite=overwrite, as_json=as_json)
    inspected = _measured(config, file, lyrics, report, drawn=bool(outputs))
    with staged([output.path for output in outputs], overwrite) as place:
        if picture is not None:
            _draw(inspected, place(picture))
        if html is not None:
            _write_page(inspected, find_ffmpeg(config.ffmpeg), place(html))
    if as_json:
        from worker.cli.terminal import print_json

        print_json(inspected.figures)
    else:
        _print(inspected, {"picture": picture, "page": html})
    return 0


def _measured(config: Config, file: Path, lyrics: Path | None, report: Path | None, *, drawn: bool) -> _Inspected:
    """Measure a file in one pass, and hold its report against it."""
    found = find_report(file, report)
    told, note = found.report, found.note
    voice = voice_of(file, lyrics)
    with opened_sound(find_ffmpeg(config.ffmpeg), file) as sound:
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
    return _Inspected(
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


def _draw(inspected: _Inspected, out: Path) -> None:
    from worker.cli.picture import draw

    assert inspected.drawn is not None  # noqa: S101 - it was asked for
    draw(
        out,
        title=printable(inspected.file.name, longest=None),
        subtitle=inspected.facts,
        drawn=inspected.drawn,
        energies=inspected.energies,
        result=inspected.result,
        names=inspected.names,
        remarks=inspected.remarks,
        voice=inspected.voice,
        target_lufs=None if inspected.report is None else inspected.report.target_lufs,
    )


def _write_page(inspected: _Inspected, ffmpeg: Ffmpeg, out: Path) -> None:
    from importlib.metadata import version

    from worker.inspect.embed import sound_of
    from worker.inspect.page import Page, render_page
    from worker.inspect.receipt import receipt

    assert inspected.drawn is not None  # noqa: S101 - it was asked for
    picture = None
    if find_spec("matplotlib") is not None:
        with tempfile.TemporaryDirectory(prefix="mindscript-") as folder:
            drawing = Path(folder) / "picture.png"
            _draw(inspected, drawing)
            picture = drawing.read_bytes()
    lines = receipt(inspected.result, inspected.report)
    page = Page(
        title=printable(inspected.file.name, longest=None),
        facts=inspected.facts,
        seconds=inspected.result.duration_s,
        waveform=inspected.drawn,
        voice=inspected.voice,
        receipt=replace(lines, notes=(*inspected.notes, *lines.notes)),
        tones=[f"{name.words}{'' if name.state is None else f': {name.state}'}" for name in inspected.names],
        tones_remark=". ".join(inspected.remarks),
        picture_png=picture,
        sound=sound_of(ffmpeg, inspected.file, inspected.result, container=inspected.container, codec=inspected.codec),
        footer=f"Measured on the decoded file by mindscript-audio-worker {version('mindscript-audio-worker')}. "
        "This page loads nothing from anywhere.",
    )
    out.write_text(render_page(page), encoding="utf-8")


def _print(inspected: _Inspected, written: dict[str, Path | None]) -> None:
    from rich.table import Table

    from worker.cli.inspect_table import rows
    from worker.cli.terminal import console, words

    name = words(inspected.file.name, style="table.title")
    table = Table(box=None, show_header=False, pad_edge=False, title=name, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for field, value in rows(inspected.figures, inspected.result, inspected.names, inspected.remarks):
        cell = words("")
        for number, line in enumerate(value.split("\n")):
            cell.append("\n" if number else "").append_text(words(line))
        table.add_row(field, cell)
    if inspected.report is not None:
        table.add_row("report", words(inspected.report.name))
    for what, path in written.items():
        if path is not None:
            size = f", {path.stat().st_size / 1e6:.1f} MB" if what == "page" else ""
            table.add_row(what, words(f"{path}{size}"))
    console().print(table)
    for note in inspected.notes:
        print(f"note: {words(note).plain}", file=sys.stderr)
