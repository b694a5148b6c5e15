"""`mindscript-worker inspect`: measures a finished file's decoded sound, draws it, makes a page to send."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from worker.config import Config
from worker.errors import JobError
from worker.ffmpeg.program import find_ffmpeg
from worker.inspect.measured import MeasuredFile, SideFiles, measure_file, no_matplotlib
from worker.inspect.reports import report_beside
from worker.tasks.outputs import PICTURE_ENDINGS, Output, Overwrite, check_outputs, staged

PAGE_ENDINGS = (".html", ".htm")


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
        raise no_matplotlib("--picture")
    wanted = (("--picture", picture, PICTURE_ENDINGS), ("--html", html, PAGE_ENDINGS))
    outputs = [Output(option, path, endings) for option, path, endings in wanted if path is not None]
    read = (file, lyrics or file.with_suffix(".vtt") if file.name else None, report or report_beside(file))
    check_outputs(outputs, [path for path in read if path is not None], overwrite)
    if loop:
        if lyrics is not None or report is not None or html is not None:
            raise JobError("--loop: found with --lyrics, --report or --html, which are of finished tracks")
        from worker.cli.inspect_loop import inspect_loop

        return inspect_loop(config, file, picture=picture, overwrite=overwrite, as_json=as_json)
    beside = SideFiles.of(file, lyrics=lyrics, report=report)  # what is named wrong is told before all else
    ffmpeg = find_ffmpeg(config.ffmpeg)
    inspected = measure_file(file, ffmpeg=ffmpeg, beside=beside, drawn=bool(outputs))
    with staged([output.path for output in outputs], overwrite) as place:
        if picture is not None:
            inspected.draw(place(picture))
        if html is not None:
            inspected.write_page(place(html), ffmpeg)
    if as_json:
        from worker.cli.terminal import print_json

        print_json(inspected.figures)
    else:
        _print(inspected, {"picture": picture, "page": html})
    return 0


def _print(inspected: MeasuredFile, written: dict[str, Path | None]) -> None:
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
