"""`mindscript-worker voices`: which voices can be used now, and what the others need."""

from __future__ import annotations

from rich.table import Table

from worker.cli.terminal import console, print_json, words
from worker.config import Config
from worker.tts import available_voices


def list_voices(config: Config, *, as_json: bool = False) -> int:
    """Print a line per provider."""
    voices = available_voices(config)
    if as_json:
        print_json([{"provider": each.provider, "usable": each.usable, "detail": each.detail} for each in voices])
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("provider", "now", "voices"):
        table.add_column(heading)
    for voice in voices:
        table.add_row(voice.provider, "yes" if voice.usable else "no", words(voice.detail))
    console().print(table)
    return 0
