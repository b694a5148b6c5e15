"""Settings of a file: `.env` in the current folder, where it is this user's."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path

from worker.config import VARIABLES, Config
from worker.errors import ConfigurationError
from worker.os_errors import in_words
from worker.printable import printable

NAMED_BY = "MINDSCRIPT_ENV_FILE"
_DEFAULT = Path(".env")
# Settings that other programs read for us: they must be in the environment itself.
_OF_OTHERS = ("HIBARI_HOME", "TMPDIR")
_TRUSTED = frozenset({0})  # user ids beside one's own: root
# An address and the key that is sent there. A folder that somebody else has filled must not lead a key elsewhere.
_KEY_OF = {
    "OPENAI_BASE_URL": "OPENAI_API_KEY",
    "ELEVENLABS_BASE_URL": "ELEVENLABS_API_KEY",
    "SUPABASE_URL": "SUPABASE_SERVICE_ROLE_KEY",
    "RESEND_API_URL": "RESEND_API_KEY",
}


@dataclass(frozen=True)
class EnvFile:
    """What a file sets, and in which line; other programs' variables are among it."""

    path: Path
    values: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)


def load_config() -> Config:
    """Read the settings: the environment, and for what it does not set, the file.

    Raises
    ------
    ConfigurationError
        Naming the variable or the file and its line; never the value of a secret.
    """
    config, problems = read_config()
    if problems:
        raise problems[0]
    return config


def read_config() -> tuple[Config, tuple[ConfigurationError, ...]]:
    """Read what can be read: a bad setting counts as absent; raises for a file that cannot be read as a whole."""
    file = find_env_file(os.environ)
    if file is None:
        return Config.read()
    for name in _OF_OTHERS:
        if file.values.get(name):
            os.environ.setdefault(name, file.values[name])
    config, problems = Config.read(completed(os.environ, file))
    for problem in problems:
        name = problem.message.split(":")[0]
        if name in file.lines and name not in os.environ:
            problem.reword(partial("{}, line {}: {}".format, file.path, file.lines[name]))
    return config, problems


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """Where settings are read from, if there is such a file; None where there may be none."""
    named = environ.get(NAMED_BY)
    if named is None:
        return _DEFAULT
    return Path(named) if named else None


def find_env_file(environ: Mapping[str, str]) -> EnvFile | None:
    """Read the file that `MINDSCRIPT_ENV_FILE` names, else `.env` in the current folder; None without one."""
    path = settings_file(environ)
    if path is None:
        return None
    if NAMED_BY in environ:
        return read_env_file(path)
    if not _DEFAULT.is_file():  # a folder of that name is a virtual environment
        return None
    owner = _DEFAULT.stat().st_uid
    if owner != os.geteuid() and owner not in _TRUSTED:
        note = f"note: .env is not read: it belongs to another user (id {owner}); {NAMED_BY}=.env reads it"
        print(note, file=sys.stderr)
        return None
    file = read_env_file(_DEFAULT)
    _refuse_what_a_folder_may_not_say(file, environ)
    return file


def completed(environ: Mapping[str, str], file: EnvFile) -> dict[str, str]:
    """An environment with the settings of a file that it does not have; an empty variable is one it has."""
    ours = {name.upper() for name in VARIABLES}
    return {**{name: value for name, value in file.values.items() if name in ours}, **environ}


def read_env_file(path: Path) -> EnvFile:
    """Read lines of ``NAME=value``, with `#` comments and quotes as in other `.env` files; `$` means nothing.

    Raises
    ------
    ConfigurationError
        If it cannot be read or a line is something else; names the line, never what is in it.
    """
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _bad(f"{path}: {in_words(error)}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _bad(f"{path}, line {line}: is not UTF-8") from None
    values, lines = {}, {}
    for each in parse_stream(StringIO(text)):
        start = each.original.string[: len(each.original.string) - len(each.original.string.lstrip())]
        line = each.original.line + start.count("\n")
        if each.error or (each.key is not None and each.value is None):
            raise _bad(f"{path}, line {line}: expected NAME=value, or # and a comment")
        if each.key is not None:
            values[each.key], lines[each.key] = each.value or "", line
    return EnvFile(path, values, lines)


def _refuse_what_a_folder_may_not_say(file: EnvFile, environ: Mapping[str, str]) -> None:
    if file.values.get("FFMPEG") and "FFMPEG" not in environ:
        raise _bad(
            f"{file.path}, line {file.lines['FFMPEG']}: FFMPEG names a program to run, which a file of the current "
            f"folder may not; set it in the environment, or set {NAMED_BY}=.env there"
        )
    for address, key in _KEY_OF.items():
        if file.values.get(address) and address not in environ and environ.get(key):
            raise _bad(
                f"{file.path}, line {file.lines[address]}: {address} would have {key} of the environment sent there; "
                f"set both in one place, or set {NAMED_BY}=.env in the environment"
            )


def _bad(message: str) -> ConfigurationError:
    return ConfigurationError(printable(message, longest=None), code="configuration.variable")
