"""Takes of pieces: each is examined before it is kept, and a suspicious one is asked for once more."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from dsp.blocks import spans
from dsp.speech_figures import SILENCE
from worker.disk_cache import DiskCache
from worker.errors import WorkerError
from worker.media.clip import FileClip
from worker.tts.piece_check import (
    CORRECTIONS,
    IN_WORDS,
    PieceCheck,
    VoiceMedians,
    better_of,
    examine_piece,
    judge,
    voice_medians,
)
from worker.tts.service_errors import SpoiltError

_REMEMBERED = 30  # pieces of a voice
_BOOK_BYTES = 200_000


@dataclass(frozen=True)
class Take:
    """One recording of a piece, as it came and decoded."""

    file: Path
    clip: FileClip


@dataclass(frozen=True)
class _Accepted:
    """A piece that was spoken now; `number` counts from 1, `asked_again_for` names the faults of its first take."""

    number: int
    text: str
    check: PieceCheck
    asked_again_for: tuple[str, ...] = ()
    second_was_better: bool = False


@dataclass
class TakeChecks:
    """The checks of one script's pieces by one voice.

    Attributes
    ----------
    known : list of PieceCheck
        Earlier pieces of this voice, from a `TakeBook`.
    speed : float
        How fast the voice is asked to speak.
    accept_unusable : bool
        Whether a piece of which no take can be used is kept all the same, with a note: where no other voice may speak.
    accepted : list
        The pieces that were spoken now.
    """

    known: list[PieceCheck]
    speed: float = 1.0
    accept_unusable: bool = True
    accepted: list[_Accepted] = field(default_factory=list)
    _habits: set[str] = field(default_factory=set)

    @property
    def medians(self) -> VoiceMedians:
        """What is usual for the voice, by all that is known of it."""
        return voice_medians([*self.known, *(each.check for each in self.accepted)])

    def choose(
        self, record: Callable[[int], Take], *, number: int, text: str, sample_rate: int, again: bool = False
    ) -> tuple[Take, PieceCheck]:
        """Record a piece; where the take is suspicious, once more, and keep the better one.

        A fault that both takes have, and that does not make them unusable, is the voice's way: it is not asked about
        again in this script.

        Parameters
        ----------
        record : callable
            ``record(0)`` gives the first take, ``record(1)`` another.
        number : int
            Of the piece in the script, from 1.
        text : str
            What should be heard.
        sample_rate : int
            In Hz.
        again : bool
            The first take is one that was accepted before its voice was known.

        Raises
        ------
        SpoiltError
            No take can be used, and `accept_unusable` is off.
        """
        medians = self.medians
        first = record(0)
        check = examine_piece(first.clip, sample_rate, text, medians, speed=self.speed)
        self.accepted = [each for each in self.accepted if not (again and each.number == number)]
        if self._habits.issuperset(check.faults):
            self.accepted.append(_Accepted(number, text, check))
            return first, check
        try:
            second = record(1)
        except WorkerError:  # the first one is better than none
            self._check_usable(check, number)
            self.accepted.append(_Accepted(number, text, check, check.faults))
            return first, check
        other = examine_piece(second.clip, sample_rate, text, medians, speed=self.speed)
        better = better_of(check, other)
        self._check_usable(better, number)
        self._habits |= set() if better.is_unusable else set(check.faults) & set(other.faults)
        self.accepted.append(_Accepted(number, text, better, check.faults, better is other))
        chosen, left = (second, first) if better is other else (first, second)
        left.clip.close()
        left.clip.path.unlink(missing_ok=True)
        return chosen, better

    def _check_usable(self, check: PieceCheck, number: int) -> None:
        if check.is_unusable and not self.accept_unusable:
            why = " and ".join(IN_WORDS[fault] for fault in check.faults)
            raise SpoiltError(f"no take of piece {number} can be used: {why}")

    def doubtful(self) -> list[int]:
        """Numbers of the pieces that were accepted before the voice was known, and that would not be now.

        Of a piece that was asked for twice already only what cannot be used counts.
        """
        medians = self.medians

        def is_doubtful(each: _Accepted) -> bool:
            now = judge(each.check.figures, each.text, medians, speed=self.speed)
            if each.asked_again_for:
                return now.is_unusable and not each.check.is_unusable
            return not self._habits.issuperset(now.faults)

        return [each.number for each in self.accepted if is_doubtful(each)]

    def notes(self) -> list[str]:
        """Say in plain sentences what was asked for twice, and what was corrected."""
        medians = self.medians
        taken: dict[str, list[int]] = defaultdict(list)
        for each in self.accepted:
            if each.asked_again_for:
                why = " and ".join(IN_WORDS[fault] for fault in each.asked_again_for)
                outcome = "the second take was better" if each.second_was_better else "the second take was no better"
                left = judge(each.check.figures, each.text, medians, speed=self.speed).faults
                if left:
                    outcome += ", but " + " and ".join(IN_WORDS[fault] for fault in left)
                taken[f"spoken twice, since {why}; {outcome}."].append(each.number)
            for correction in each.check.corrections:
                taken[f"corrected: {CORRECTIONS[correction]}."].append(each.number)
        return [
            f"voice: piece {numbers[0]} was {words}"
            if len(numbers) == 1
            else f"voice: pieces {', '.join(map(str, sorted(numbers)))} were {words}"
            for words, numbers in taken.items()
        ]


def corrected(take: Take, check: PieceCheck, into: Path, *, sample_rate: int) -> Path:
    """Write a take without its constant offset, and in one channel where its two do not belong together.

    Parameters
    ----------
    take : Take
        Its clip is closed.
    check : PieceCheck
        With at least one of `CORRECTIONS`.
    into : Path
        A WAV file of float32, so that peaks over full scale stay.
    sample_rate : int
        In Hz.
    """
    figures = check.figures
    channels: list[int] = [0, 1][: take.clip.channels]
    if "polarity" in check.corrections or "one channel" in check.corrections:
        channels = [0 if figures.balance_db >= 0 else 1]
    offset = np.array(figures.dc, np.float32)[channels]
    with (
        take.clip as clip,
        soundfile.SoundFile(into, "w", sample_rate, len(channels), subtype="FLOAT", format="WAV") as file,
    ):
        for first, last in spans(0, clip.frames):
            file.write(clip.read(first, last)[:, channels] - offset)
    return into


class TakeBook:
    """Figures of the pieces a voice has spoken last, a small file for each voice; a lost one costs exactness only.

    Parameters
    ----------
    folder : Path
        Shared by all processes; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._disk = DiskCache(folder, max_bytes=_BOOK_BYTES)

    def read(self, pace_key: str) -> list[PieceCheck]:
        """Checks of the voice's earlier pieces, with what the medians need of them."""
        with contextlib.suppress(ValueError):
            lines = (self._disk.read(_name(pace_key)) or b"").decode().splitlines()
            return [_check(*map(float, line.split())) for line in lines]
        return []

    def learn(self, pace_key: str, checks: TakeChecks) -> None:
        """Add the faultless pieces of a script."""
        faultless = [each.check for each in checks.accepted if not each.check.faults]
        if faultless:
            lines = [
                f"{check.pace_s or 0:.6f} {check.figures.level_db:.2f} {check.figures.pitch_hz:.2f}"
                for check in [*checks.known, *faultless][-_REMEMBERED:]
            ]
            self._disk.keep(_name(pace_key), "\n".join(lines).encode())


def _check(pace_s: float, level_db: float, pitch_hz: float) -> PieceCheck:
    return PieceCheck((), (), 0.0, pace_s or None, replace(SILENCE, level_db=level_db, pitch_hz=pitch_hz))


def _name(pace_key: str) -> str:
    return hashlib.sha256(pace_key.encode()).hexdigest()[:32]
