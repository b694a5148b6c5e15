"""Programs that play a finished track: the first one that is installed and reads its format."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from worker.cli.child import die_with_parent
from worker.config import without_secrets
from worker.errors import MachineError
from worker.formats import FORMATS

_LONGEST_S = 24 * 3600.0
_STOPS_WITHIN_S = 5.0


@dataclass(frozen=True)
class Player:
    """A program, its arguments before the file, and the formats that it reads."""

    program: str
    arguments: tuple[str, ...] = ()
    formats: Collection[str] = tuple(FORMATS)


PLAYERS = (
    Player("ffplay", ("-nodisp", "-autoexit", "-loglevel", "error")),
    Player("mpv", ("--no-video", "--really-quiet")),
    Player("afplay", formats=("mp3", "m4a", "aac", "wav", "flac")),
    Player("paplay", formats=("wav", "flac")),
    Player("aplay", ("-q",), formats=("wav",)),
    Player("xdg-open"),  # opens the desktop's own, and does not wait for it
)


def find_player(formats: Collection[str]) -> Player:
    """Find a player for all of these formats.

    Raises
    ------
    MachineError
        If there is none; says what to install.
    """
    for player in PLAYERS:
        if set(formats) <= set(player.formats) and shutil.which(player.program):
            return player
    raise MachineError(
        f"--play: there is no program here that plays {', '.join(sorted(formats))}; "
        "install FFmpeg, which brings ffplay, or mpv"
    )


class Playing:
    """A player at work."""

    def __init__(self, player: Player, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.process = process
        self._player, self._errors = player, errors

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self) -> None:
        """Wait until the track has been played to its end.

        Raises
        ------
        MachineError
            If the player could not play it; has the player's own last words.
        """
        status = self.process.wait(_LONGEST_S)
        if status > 0:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            why = f": {said[-1]}" if said else ""
            raise MachineError(f"--play: {self._player.program} ended with status {status}{why}")

    def stop(self) -> None:
        """End the player, if it still plays."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(_STOPS_WITHIN_S)


@contextmanager
def playing(player: Player, track: Path) -> Iterator[Playing]:
    """Play a track while the block runs."""
    program = shutil.which(player.program) or player.program
    with tempfile.TemporaryFile() as errors:
        # the whole path: a name may begin with a hyphen
        command = [program, *player.arguments, str(track.absolute())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=without_secrets(),
            preexec_fn=die_with_parent,
        )
        started = Playing(player, process, errors)
        try:
            yield started
        finally:
            started.stop()
