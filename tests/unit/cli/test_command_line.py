"""The command line itself: suggestions, flags that may stand anywhere, help, examples, completion, versions."""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import argcomplete
import pytest

from worker.cli import version
from worker.cli.arguments import PURPOSES, SHELLS, build_parser
from worker.cli.main import FUNCTIONS, run
from worker.cli.parser import Parser
from worker.errors import MachineError
from worker.ffmpeg.program import Ffmpeg


def every_parser(parser: Parser) -> Iterator[Parser]:
    yield parser
    for each in dict(parser.commands.choices if parser.commands else {}).values():
        yield from every_parser(each)


COMMANDS = list(every_parser(build_parser()))[1:]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("rendr job.json", "unknown command 'rendr'; did you mean render?"),
        ("jobs retyr 1f0c", "unknown action 'retyr'; did you mean retry?"),
        ("inspect a.mp3 --pictures b.png", "unknown option --pictures; did you mean --picture?"),
        ("render --quite", "unknown option --quite; did you mean --quiet?"),  # said first: JOB is missing, too
        ("forget --usr=1", "unknown option --usr; did you mean --user?"),
        ("jobs --status runing", "--status: found 'runing', allowed are running, failed, waiting, parked, done,"),
        ("jobs --status runing", "; did you mean running?"),
        ("frobnicate", "unknown command 'frobnicate'; there are render, "),
        ("job.json", "unknown command 'job.json'; a file follows its command, as in render job.json"),
        ("render", "missing: JOB "),
        ("voices local", "unexpected argument 'local'"),
        ("say hello --speed fast", "--speed: found 'fast', expected a number"),
        ("help rendr", "unknown command 'rendr'; did you mean render?"),
        ("help voices local", "unexpected argument 'local'"),
    ],
)
def test_a_mistake_is_one_line_with_a_suggestion(line: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(shlex.split(line))
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_an_argument_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["voices", "\x1b[2J\n\u202e"])
    assert r"unexpected argument '\x1b[2J\n\u202e'" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["inspect a.mp3 --pict b.png", "jobs --stat failed", "--vers"])
def test_an_option_is_never_abbreviated(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(line.split())
    assert ended.value.code == 2


@pytest.mark.parametrize("line", ["{} jobs show 1f0c", "jobs {} show 1f0c", "jobs show {} 1f0c", "jobs show 1f0c {}"])
def test_debug_may_stand_anywhere(line: str) -> None:
    assert build_parser().parse_args(line.format("--debug").split()).debug is True
    assert "debug" not in build_parser().parse_args(line.format("").split())


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("line", ["{} jobs retry", "jobs {} retry", "jobs retry {}"])
def test_help_may_stand_anywhere(line: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(line.format(flag).split())
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: mindscript-worker")


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ([], "usage: mindscript-worker [OPTION ...] COMMAND ..."),
        (["render"], "usage: mindscript-worker render "),
        (["jobs", "retry"], "usage: mindscript-worker jobs retry "),
        (["psql"], "usage: mindscript-worker psql "),  # whose own --help is psql's
    ],
)
def test_help_is_a_command_too(words: list[str], usage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", *words]) == 0
    assert capsys.readouterr().out.startswith(usage)


@pytest.mark.parametrize("line", [[], ["queue"]])
def test_nothing_given_is_help_and_no_success(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(line)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(" ".join(["usage: mindscript-worker", *line]))


@pytest.mark.parametrize("parser", COMMANDS, ids=lambda parser: parser.prog)
def test_each_help_says_what_it_does_and_shows_how(parser: Parser) -> None:
    assert parser.description is not None
    assert parser.description.endswith((".", "!"))
    assert 1 <= len(parser.examples) <= 3
    for line in parser.examples:
        build_parser().parse_args(shlex.split(line))
        if parser.prog != "mindscript-worker help":
            assert f"mindscript-worker {line}".startswith(parser.prog)
        assert f"  mindscript-worker {line}\n" in f"{parser.format_help()}\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_command_takes_what_its_parser_gives(name: str) -> None:
    """Options without a default of the parser's are given only where somebody writes them."""
    module, function = FUNCTIONS[name].split(":")
    signature = inspect.signature(getattr(importlib.import_module(module), function))
    parser = build_parser().at(name.split())
    hidden = {"help", "version", "debug", "action", "command"}
    actions = [action for action in parser._actions if action.dest not in hidden]
    always = {action.dest for action in actions if action.default is not argparse.SUPPRESS}
    signature.bind(None, **dict.fromkeys(always))
    signature.bind(None, **dict.fromkeys({action.dest for action in actions}))


def test_each_command_is_listed_under_a_purpose() -> None:
    commands = build_parser().commands.choices
    assert {each.purpose for each in commands.values()} == set(PURPOSES)
    listed = [line.split()[0] for line in build_parser().format_help().splitlines() if line.startswith("  ")]
    for name in commands:
        assert listed.count(name) == 1, name


class Terminal(io.StringIO):
    """A standard output that is looked at."""

    def isatty(self) -> bool:
        return True


def test_help_has_colour_on_a_terminal_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    parser = Parser(prog="mindscript-worker", description="Says [/b] and [red].", examples=("[local]",))
    parser.add_argument("--extra", help="pip install '…[local]'")
    parser.finish()
    monkeypatch.setattr(sys, "stdout", Terminal())
    parser.print_help()
    printed = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[" in printed
    for text in ("Says [/b] and [red].", "[local]", "pip install '…[local]'"):
        assert text in printed


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("mindscript-worker ren", {"render"}),
        ("mindscript-worker jobs re", {"retry"}),
        ("mindscript-worker jobs --status f", {"failed"}),
        ("mindscript-worker inspect --pi", {"--picture"}),
        pytest.param("mindscript-worker inspect tra", {"track.mp3"}, marks=pytest.mark.integration),  # asks bash
        ("mindscript-worker completion ", set(SHELLS)),
    ],
)
def test_a_shell_is_told_how_a_line_may_go_on(
    line: str, offers: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("track.mp3").touch()
    for name, value in {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }.items():
        monkeypatch.setenv(name, value)
    printed = io.StringIO()
    monkeypatch.setattr(argcomplete.finders.CompletionFinder, "_init_debug_stream", lambda self: None)
    monkeypatch.setattr(argcomplete.io, "debug_stream", io.StringIO())
    with pytest.raises(SystemExit):
        argcomplete.autocomplete(build_parser(), exit_method=sys.exit, output_stream=printed)
    assert offers <= {word.strip() for word in printed.getvalue().split("\n")}
    assert not {"mindscript-worker", "voices"} & set(printed.getvalue().split())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_code_of_a_shell_ends_with_where_to_put_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    *code, last = capsys.readouterr().out.splitlines()
    assert "_ARGCOMPLETE" in "".join(code)
    assert last.startswith("# To use it, ")
    assert f"mindscript-worker completion {shell}" in last


@pytest.mark.parametrize("line", ["--version", "render --version", "jobs show --version"])
def test_the_version_names_python_and_ffmpeg(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(version, "find_ffmpeg", lambda _configured: Ffmpeg(Path("/opt/ffmpeg"), "7.1"))
    with pytest.raises(SystemExit) as ended:
        run(line.split())
    assert ended.value.code == 0
    ours, python, ffmpeg = capsys.readouterr().out.splitlines()
    assert ours.startswith("mindscript-worker 0.")
    assert python.startswith(f"Python {sys.version_info.major}.{sys.version_info.minor}.")
    assert ffmpeg == "FFmpeg 7.1 (/opt/ffmpeg)"


def test_the_version_says_that_there_is_no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_configured: str | None) -> Ffmpeg:
        raise MachineError("no FFmpeg was found: install it")

    monkeypatch.setattr(version, "find_ffmpeg", missing)
    monkeypatch.setenv("PORT", "none")  # a setting that is wrong is no reason to say nothing
    assert version.versions().splitlines()[-1] == "FFmpeg: no FFmpeg was found: install it"
