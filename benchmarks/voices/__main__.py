"""`python -m benchmarks.voices [SECTION ...]`: the tables of docs/explanation/voices.md, from real runs."""

from __future__ import annotations

import argparse
import sys

from loguru import logger

from benchmarks import pieces, side_by_side
from benchmarks.voices.providers import providers
from benchmarks.voices.refusals import refusals
from benchmarks.voices.spoilt import spoilt

SECTIONS = {
    "refusals": lambda: refusals(_say),
    "spoilt": lambda: spoilt(_say),
    "pieces": pieces.main,
    "providers": lambda: providers(_say),
    "lines": lambda: side_by_side.measure([1, 4, 8]),
}


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.voices", description=__doc__)
    parser.add_argument("sections", metavar="SECTION", nargs="*", help=f"of {', '.join(SECTIONS)}; default: all")
    asked = parser.parse_args().sections or list(SECTIONS)
    if unknown := set(asked) - set(SECTIONS):
        parser.error(f"there is no section {min(unknown)}; there are {', '.join(SECTIONS)}")
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    for name in asked:
        _say(f"\n{name}\n")
        SECTIONS[name]()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
