"""`make bench`: this project beside its peers, on this machine, now."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.check import check_cost
from benchmarks.dsp_parts import BOTH_PASSES, pieces
from benchmarks.dynos import dyno_costs
from benchmarks.environment import environment
from benchmarks.render import PEERS, Figure, compare, growth, memory, ratios, scaling
from worker.allocator import keep_freed_memory
from worker.ffmpeg.program import find_ffmpeg

SECTIONS = ("compare", "pieces", "check", "memory", "scaling")


def main() -> None:
    """Measure what was asked for, print it, and write it down."""
    keep_freed_memory()  # as the worker does: what is measured here in one process is measured as it runs there
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 120)
    log = Console(stderr=True, style="dim", highlight=False)
    ffmpeg = find_ffmpeg(options.ffmpeg)
    facts = environment(ffmpeg)
    found: dict[str, object] = {"environment": facts}
    report.show_environment(console, facts)
    figures: list[Figure] = []
    if "compare" in options.sections:
        results = compare(ffmpeg, minutes=options.minutes, rounds=options.rounds, peers=options.only, say=log.print)
        figures += ratios(results)
        report.show_comparison(console, results, options.minutes)
        found |= {"minutes": options.minutes, "results": [asdict(result) for result in results]}
        for result in results:
            if result.name == "whole":
                dynos = dyno_costs(result.cpu_s, result.pss_mb)
                found["dynos"] = [asdict(dyno) for dyno in dynos]
                report.show_dynos(console, dynos, options.minutes)
        if options.chart is not None:
            report.draw(results, options.minutes, options.chart)
            log.print(f"wrote {options.chart}")
    if "pieces" in options.sections:
        measured = pieces()
        figures += [
            Figure("DSP of both passes on one core, × real time", piece.times_real_time, 500, at_most=False)
            for piece in measured
            if piece.name == BOTH_PASSES
        ]
        found["pieces"] = [asdict(piece) for piece in measured]
        report.show_pieces(console, measured)
    if "check" in options.sections:
        check = check_cost(ffmpeg)
        name = "check of the decoded file: the job longer by %"
        figures.append(Figure(name, check.of_job_percent, 10, at_most=True))
        found["check"] = asdict(check)
        log.print(f"the check makes the encoding longer by {check.of_encoding_percent:.1f} %")
    if "memory" in options.sections:
        runs = memory(ffmpeg, say=log.print)
        figures += [
            Figure("peak memory of all processes at 10 minutes, MB", runs[0].cost.pss_mb, 220, at_most=True),
            Figure("the same at 8 hours with 40 minutes of music, more by %", growth(runs), 5, at_most=True),
        ]
        found["memory"] = [run.as_json() for run in runs]
        report.show_memory(console, runs)
    if "scaling" in options.sections:
        runs = scaling(ffmpeg, say=log.print)
        found["scaling"] = [run.as_json() for run in runs]
        report.show_scaling(console, runs)
    report.show_figures(console, figures)
    found["figures"] = [{**asdict(figure), "kept": figure.kept} for figure in figures]
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")
        log.print(f"wrote {options.json}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=(*SECTIONS, []), help=f"{', '.join(SECTIONS)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison; default: 3")
    parser.add_argument("--minutes", type=float, default=10, help="length of its track; default: 10")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=PEERS, metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("--ffmpeg", metavar="PROGRAM", help="for all of them; default: the one the worker would take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    parser.add_argument("--chart", type=Path, metavar="FILE.png", help="draw the comparison here")
    options = parser.parse_args()
    options.sections = options.sections or SECTIONS
    if options.rounds < 1 or options.minutes * 60 < 60:
        parser.error("at least one round and one minute are needed")
    return options


if __name__ == "__main__":
    main()
