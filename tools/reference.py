"""Write the reference pages that follow from the code: `make reference`.

`docs/reference/commands.md` from the commands' own ``--help``, `docs/reference/payload.schema.json` and `payload.d.ts`
from the payload's models. The tests compare all with the code.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from unittest.mock import patch

from worker.cli.arguments import build_parser
from worker.cli.parser import Parser
from worker.payload.json_schema import payload_schema, payload_schema_text
from worker.payload.typescript import typescript

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

_HEAD = """\
# Commands

`mindscript-worker COMMAND`; `python -m worker` is the same. The text below is each command's `--help`. Exit status:
0 done; 2 a bad job or bad arguments, or none; 3 bad media; 130 interrupted; 1 anything else. An error is one line on
standard error. `mindscript-worker completion SHELL` prints what makes bash, zsh or fish complete all of it.
"""


def commands_page() -> str:
    """Make the page of all commands; the same with every Python, whose ``--help`` differ in small things."""
    with patch.dict(os.environ, COLUMNS="110"):
        parser = build_parser()
        parts = [_HEAD, _block(parser)]
        for name, command in _commands_of(parser).items():
            parts.append(f"## {name}\n\n{_block(command)}")
            parts += [f"### {name} {action}\n\n{_block(each)}" for action, each in _commands_of(command).items()]
    return "\n".join(parts)


def _commands_of(parser: Parser) -> dict[str, Parser]:
    return dict(parser.commands.choices) if parser.commands else {}


def _block(parser: Parser) -> str:
    # Python 3.13 writes "-o, --out OUT" where older ones write "-o OUT, --out OUT"
    text = re.sub(
        r"(-\w)( [A-Z.]+), (--[\w-]+\2)",
        lambda found: f"{found[1]}, {found[3]}{' ' * len(found[2])}",
        parser.format_help(),
    )
    return f"```text\n{text.strip()}\n```\n"


def main() -> None:
    """Write all files."""
    (REFERENCE / "commands.md").write_text(commands_page(), encoding="utf-8")
    (REFERENCE / "payload.schema.json").write_text(payload_schema_text(), encoding="utf-8")
    (REFERENCE / "payload.d.ts").write_text(typescript(payload_schema()), encoding="utf-8")


if __name__ == "__main__":
    main()
