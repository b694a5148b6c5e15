"""`mindscript-worker doctor`: check everything that the worker needs, and say what to do."""

from __future__ import annotations

import os
import queue as queues
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.cli.doctor_finding import Finding, named_settings
from worker.cli.doctor_queue import examine_queue
from worker.cli.doctor_sandbox import examine_sandbox
from worker.cli.doctor_services import examine_mail, examine_supabase_key
from worker.cli.doctor_settings import ENV_FILE, examine_settings
from worker.cli.doctor_storage import examine_storage
from worker.cli.doctor_voices import examine_voices
from worker.cli.terminal import console, print_json, words
from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.ffmpeg.program import find_ffmpeg
from worker.job.memory import job_memory_limit_bytes
from worker.masks import masked
from worker.tts import available_voices

_LEAST_DISK_GB: Final = 2.0  # the decoded inputs of a long track, and the track
_LEAST_MEMORY_MB: Final = 256
_LIMIT_S: Final = 20.0  # for all checks together: they run side by side
_FIRST_S: Final = 120.0
_NAMES_THE_PROJECT: Final = frozenset({"SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "DATABASE_URL"})
_SIGNS: Final = {True: ("ok", "green"), None: ("note", "yellow"), False: ("bad", "red")}
_NARROW: Final = 70  # columns: below, a finding's words stand under its name
_SIGN_COLUMNS, _NAME_COLUMNS = 5, 26

Groups = Mapping[str, Sequence[Finding]]


def doctor(
    config: Config,
    *,
    online: bool = False,
    as_json: bool = False,
    problems: Sequence[ConfigurationError] = (),
) -> int:
    """Print all findings; with `online` the services are asked, too. 1 when any keeps the worker from working."""
    # of a database of our own it is known that it answers; to be made for the first time it may take longer
    limit_s = _FIRST_S if config.database_url is None and config.supabase_url is None else _LIMIT_S
    groups = examined(config, online=online, problems=problems, environ=tuple(os.environ), limit_s=limit_s)
    found = [finding for findings in groups.values() for finding in findings]
    bad = sum(finding.good is False for finding in found)
    if as_json:
        print_json(as_document(groups))
        return 1 if bad else 0
    screen = console()
    screen.print(as_text(groups, screen.width if sys.stdout.isatty() else None), soft_wrap=not sys.stdout.isatty())
    notes = sum(finding.good is None for finding in found)
    says = "nothing keeps the worker from working" if not bad else f"{bad} bad: the worker cannot do all of its work"
    screen.print(Text(f"{says}; {notes} note{'' if notes == 1 else 's'}", style="bold red" if bad else "bold"))
    return 1 if bad else 0


def examined(
    config: Config,
    *,
    online: bool = False,
    problems: Sequence[ConfigurationError] = (),
    environ: Sequence[str] = (),
    env_file: Path = ENV_FILE,
    limit_s: float = _FIRST_S,
) -> Groups:
    """Check everything, by group, side by side; a check that fails or hangs never stops another."""
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "settings": lambda: examine_settings(config, problems=problems, environ=environ, env_file=env_file),
        "machine": lambda: _machine(config),
        "queue": lambda: examine_queue(config),
        "storage": lambda: examine_storage(config),
        "voices": lambda: _voices(config, online=online),
        "e-mail": lambda: examine_mail(config, online=online),
    }
    unread = {name for problem in problems for name in named_settings(problem.message)}
    if config.database_url is None and not unread.isdisjoint(_NAMES_THE_PROJECT):
        # else an embedded database would be taken for the one that is meant
        says = f"not checked: {' and '.join(sorted(unread & _NAMES_THE_PROJECT))} cannot be read"
        checks["queue"] = lambda: [Finding("queue", False, says)]
        checks["storage"] = lambda: [Finding("storage", False, says)]
    if online:
        checks["keys"] = lambda: examine_supabase_key(config)
    ended: queues.SimpleQueue[str] = queues.SimpleQueue()
    groups: dict[str, list[Finding]] = {name: [] for name in checks}

    def run(name: str, check: Callable[[], Iterable[Finding]]) -> None:
        try:
            for finding in check():
                groups[name].append(finding)
        except WorkerError as error:
            groups[name].append(Finding(name, False, error.message))
        except Exception as error:  # noqa: BLE001 - a bug in one check must not hide what the others find
            groups[name].append(Finding(name, None, f"not checked to its end: a bug, {type(error).__name__}: {error}"))
        ended.put(name)

    for name, check in checks.items():
        threading.Thread(target=run, args=(name, check), name=f"doctor-{name}", daemon=True).start()
    waited_for, ends_at = set(checks), time.monotonic() + limit_s
    while waited_for:
        try:
            waited_for.discard(ended.get(timeout=max(0.0, ends_at - time.monotonic())))
        except queues.Empty:
            break
    found = {name: list(findings) for name, findings in groups.items()}
    for name in waited_for:
        says = f"not checked to its end within {limit_s:.0f} s: something does not answer"
        found[name].append(Finding(name, False, says))
    return {name: findings for name, findings in found.items() if findings}


def as_document(groups: Groups) -> dict[str, object]:
    """The findings for JSON; the keys are an interface."""
    findings = [
        {"group": group, "what": finding.what, "verdict": _SIGNS[finding.good][0], "says": masked(finding.says)}
        for group, found in groups.items()
        for finding in found
    ]
    return {"ok": all(finding["verdict"] != "bad" for finding in findings), "findings": findings}


def as_text(groups: Groups, width: int | None) -> Group:
    """The findings by group, in so many columns; where they are few, what one says stands under its name.

    None: each on one line, however long.
    """
    lines: list[Text | Table | Padding] = []
    for name, findings in groups.items():
        lines.append(Text(name, style="bold"))
        if width is None:
            names = max(len(finding.what) for finding in findings)
            for finding in findings:
                what = Text.assemble("  ", _sign(finding.good), " ", words(f"{finding.what:<{names}} "))
                lines.append(what + words(finding.says))
            continue
        if width < _NARROW:
            for finding in findings:
                lines.append(Text.assemble("  ", _sign(finding.good), words(finding.what)))
                lines.append(Padding(words(finding.says), (0, 0, 0, 4)))
            continue
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=_SIGN_COLUMNS + 2)
        table.add_column(width=min(_NAME_COLUMNS, max(len(finding.what) for finding in findings)), overflow="fold")
        table.add_column(overflow="fold")
        for finding in findings:
            table.add_row(Text.assemble("  ", _sign(finding.good)), words(finding.what), words(finding.says))
        lines.append(table)
    return Group(*lines)


def _sign(good: bool | None) -> Text:
    sign, style = _SIGNS[good]
    return Text(f"{sign:<{_SIGN_COLUMNS}}", style=style)


def _machine(config: Config) -> Iterator[Finding]:
    try:
        ffmpeg = find_ffmpeg(config.ffmpeg)
        yield Finding("FFmpeg", True, f"{ffmpeg.version} at {ffmpeg.path}")
    except WorkerError as error:
        yield Finding("FFmpeg", False, error.message)
    yield from examine_sandbox(config)
    yield _disk(config.cache_dir)
    limit_mb = job_memory_limit_bytes(config) >> 20
    yield Finding("memory", limit_mb >= _LEAST_MEMORY_MB, f"a job may take {limit_mb} MB (MEMORY_LIMIT_MB overrides)")


def _voices(config: Config, *, online: bool) -> Iterator[Finding]:
    for voice in available_voices(config):
        yield Finding(f"voice {voice.provider}", True if voice.usable else None, voice.detail)
    yield from examine_voices(config, online=online)


def _disk(folder: Path) -> Finding:
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    good = True if free_gb >= _LEAST_DISK_GB else None
    return Finding("disk", good, f"{free_gb:.1f} GB free under {folder}; {_LEAST_DISK_GB:.0f} GB are for a long track")
