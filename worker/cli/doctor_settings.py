"""What `mindscript-worker doctor` finds about the settings: bad ones, misspelt names, `.env`, the port."""

from __future__ import annotations

import difflib
import errno
import re
import socket
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from worker.cli.doctor_finding import Finding, named_settings
from worker.config import SECRETS, VARIABLES, Config
from worker.errors import ConfigurationError
from worker.os_errors import in_words
from worker.printable import printable

ENV_FILE = Path(".env")
# Of names that others read, the nearest to a setting's are at 0.88: DATABASE_USER. Misspelt ones begin at 0.888.
_NEAR = 0.885
_SHORTEST = 8  # characters of a name that is compared: of shorter ones others have their own
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_HTTP_S = 2.0
_OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH


def examine_settings(
    config: Config,
    *,
    problems: Sequence[ConfigurationError] = (),
    environ: Collection[str] = (),
    env_file: Path = ENV_FILE,
) -> Iterator[Finding]:
    """Look at the settings.

    Parameters
    ----------
    problems : sequence of ConfigurationError
        Of settings that cannot be read.
    environ : collection of str
        The names of all variables that are set.
    """
    for problem in problems:
        name = next(iter(named_settings(problem.message)), "settings")
        says = problem.message.replace(f"{name}: ", "", 1)
        yield Finding(name, False, f"{says}; until that is right, no other command starts")
    written = _assignments(env_file)
    is_set = {name.upper() for name in config.model_fields_set}.union(
        *(named_settings(problem.message) for problem in problems)
    )
    for name in sorted({*environ, *written}):
        meant = meant_setting(name, is_set)
        if meant is not None:
            where = f" (in {env_file})" if name in written else ""
            yield Finding(printable(name), None, f"is not read{where}; did you mean {meant}?")
    if not problems:
        yield Finding("settings", True, f"{len(is_set)} set, all can be read" if is_set else "none is set")
    yield from _env_file(env_file, written)
    if config.port is not None:
        yield examine_port(config.port)
        if config.worker_token is None:
            says = "not set: there is no POST /process, and /ready says no more than a code"
            yield Finding("WORKER_TOKEN", None, says)


def meant_setting(name: str, is_set: Collection[str]) -> str | None:
    """The setting that a variable's name is a slip of; None for one that is a setting, or that others may read.

    A slip is a difference in case, or of very few letters, or a key's name without its middle: OPENAI_KEY. A setting
    that has its own value lacks nothing.
    """
    settings = [setting for each in VARIABLES if (setting := each.upper()) not in is_set]
    if name.lower() in VARIABLES and name.isupper():
        return None
    if name.upper() in settings:
        return name.upper()
    if len(name) < _SHORTEST:
        return None
    parts = name.upper().split("_")
    for setting in settings:
        whole = setting.split("_")
        if parts[-1] == whole[-1] == "KEY" and len(parts) > 1 and parts[0] == whole[0] and set(parts) < set(whole):
            return setting
    same_start = [setting for setting in settings if setting[0] == name[0].upper() and len(setting) >= _SHORTEST]
    return next(iter(difflib.get_close_matches(name.upper(), same_start, 1, _NEAR)), None)


def examine_port(port: int) -> Finding:
    """Find out whether a worker could listen on its port, and who does if not."""
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            says = f"{port} cannot be listened on ({in_words(error)}); choose one from 1024 to 65535"
            return Finding("PORT", False, says)
        if _is_worker(port):
            says = f"{port} is in use by a worker of ours, which runs; a second one here needs another PORT, or none"
            return Finding("PORT", True, says)
        return Finding("PORT", False, f"{port} is in use by another program; end that one, or set another PORT")
    return Finding("PORT", True, f"{port} is free")


def _is_worker(port: int) -> bool:
    import httpx

    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=_HTTP_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return bool(answer.headers.get("server") == "mindscript")


def _assignments(path: Path) -> dict[str, bool]:
    """The names that a file of settings assigns, and whether each is given a value."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {found[1]: bool(found[2].strip(" \t'\"")) for line in lines if (found := _ASSIGNMENT.match(line))}


def _env_file(path: Path, written: dict[str, bool]) -> Iterator[Finding]:
    """A file with keys is for its owner's eyes."""
    if not any(has_value and name.lower() in SECRETS for name, has_value in written.items()):
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS_MAY_READ:
        says = f"holds keys, and other users of this machine can read it (mode {mode:03o}): chmod 600 {path}"
        yield Finding(str(path), None, says)
    else:
        yield Finding(str(path), True, "holds keys, and only its owner can read it")
