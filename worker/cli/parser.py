"""The parser of the command line: suggestions, flags that may stand anywhere, examples, commands by purpose.

It is argparse's, since each command would wait for another one: `docs/explanation/architecture.md` has the figures.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from worker.printable import printable


class Parser(argparse.ArgumentParser):
    """A parser of a command; abbreviated options are refused, as a later option could make them mean another one.

    Parameters
    ----------
    purpose : str
        The heading under which the command is listed.
    examples : sequence of str
        What may follow the program's name; each must work as pasted.
    add_help : bool
        Whether the command takes `--help`, `--version` and `--debug`.
    """

    def __init__(
        self, *, purpose: str = "", examples: Sequence[str] = (), add_help: bool = True, **options: Any
    ) -> None:
        super().__init__(add_help=False, allow_abbrev=False, **options)
        self.purpose, self.examples = purpose, tuple(examples)
        self.commands: Any = None
        self._has_help = add_help
        self._given: Sequence[str] = ()

    def add_subparsers(self, **options: Any) -> Any:
        """Let commands, or a command's actions, follow."""
        self.commands = super().add_subparsers(prog=self.prog, **options)
        return self.commands

    def list_by_purpose(self, purposes: Sequence[str]) -> None:
        """List the commands under headings instead of one."""
        self._positionals._group_actions.clear()
        for purpose in purposes:
            listed = self.commands._choices_actions
            self._list(purpose, (each for each in listed if self.commands.choices[each.dest].purpose == purpose))

    def finish(self) -> None:
        """Add to the help of this command, and of all below, what every one has; called when all else is there."""
        if self._has_help:
            everywhere = self.add_argument_group("options of every command")
            everywhere.add_argument("-h", "--help", action="help", help="show this help and exit")
            everywhere.add_argument(
                "--version",
                action=_Version,
                nargs=0,
                default=argparse.SUPPRESS,
                help="show the versions of this program, of Python and of FFmpeg, and exit",
            )
            everywhere.add_argument(
                "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks and debug logs"
            )
        program = self.prog.split()[0]
        self._list("examples", (argparse.Action([], "", metavar=f"{program} {line}") for line in self.examples))
        if self.commands is None:
            return
        for each in self.commands._choices_actions:
            parser = self.commands.choices[each.dest]
            parser.description = parser.description or f"{each.help[0].upper()}{each.help[1:]}."
            parser.finish()

    def at(self, words: Iterable[str]) -> Parser:
        """The parser of a command or an action; an error, as for arguments, if there is none."""
        parser = self
        for word in words:
            if parser.commands is None:
                parser.error(f"unexpected argument {word!r}")
            try:
                parser._check_value(parser.commands, word)
            except argparse.ArgumentError as error:
                parser.error(str(error))
            parser = parser.commands.choices[word]
        return parser

    def print_help(self, file: Any = None) -> None:
        """Print the help, in colour on a terminal."""
        if (file or sys.stdout).isatty():
            from rich_argparse import RichHelpFormatter

            RichHelpFormatter.help_markup = RichHelpFormatter.text_markup = False
            RichHelpFormatter.group_name_formatter = str
            self.formatter_class = RichHelpFormatter
        super().print_help(file)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what nobody knows is an error here, at the command that was given it."""
        self._given = sys.argv[1:] if args is None else list(args)
        namespace, unknown = super().parse_known_args(self._given, namespace)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """End with one line that says what is wrong; without any argument, with the help."""
        if not self._given and self.commands is not None and self.commands.required:
            self.print_help(sys.stderr)
            self.exit(2)  # nothing was done, as a script must be able to see
        if self.commands is None:  # a misspelt option is why another one is missing
            options = (word.partition("=")[0] for word in self._given if word.startswith("--"))
            message = next((self._unknown(each) for each in options if self._is_unknown(each)), message)
        message = re.sub(r"invalid (?:int|float) value: (.*)", r"found \1, expected a number", message)
        message = message.replace("the following arguments are required", "missing").removeprefix("argument ")
        message = printable(message, longest=None)
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(each) for each in action.choices]
        if action is not self.commands:
            allowed = f"found {str(value)!r}, allowed are {', '.join(names)}"
            raise argparse.ArgumentError(action, allowed + did_you_mean(value, names))
        if "." in value or "/" in value:
            hint = f"; a file follows its command, as in {self.examples[0]}" if self.examples else ""
        else:
            hint = did_you_mean(value, names) or f"; there are {', '.join(names)}"
        raise argparse.ArgumentError(None, f"unknown {str(action.metavar).lower()} {value!r}{hint}")

    def _is_unknown(self, option: str) -> bool:
        return option not in self._option_string_actions and option != "--"

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"unexpected argument {word!r}"
        name = word.partition("=")[0]
        return f"unknown option {name}{did_you_mean(name, self._option_string_actions)}"

    def _list(self, heading: str, entries: Iterable[argparse.Action]) -> None:
        self.add_argument_group(heading)._group_actions.extend(entries)  # shown, never parsed


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a command print a JSON document in the place of a table or of lines."""
    parser.add_argument(
        "--json", action="store_true", dest="as_json", default=argparse.SUPPRESS, help="print a JSON document"
    )


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """The end of a message about a misspelt word, where one of the names is like it."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


class _Version(argparse.Action):
    """Finds the versions only when they are asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from worker.cli.version import versions

        print(versions())
        parser.exit()
