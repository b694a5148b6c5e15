"""How much of a job is done: the part of its time that is over, as far as that can be foretold.

A job has parts (fetch, speak, measure, …) of very different lengths, which depend on the job and on the machine. Each
is expected to take so many seconds (`worker.render.expected_time`); how long the parts so far have really taken says
how fast this machine is, and so corrects what is expected of the others.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from worker.repeating import repeating

OnProgress = Callable[[str, float], None]
"""Called with the stage in words and the fraction of the whole job that is done."""

_TRUSTED_FROM = 0.1  # of a part: from here on its own pace counts for more than what was expected
_PRIOR_S = 0.3  # the machine's pace is corrected by parts that take longer than this
_CATCHING_UP = 0.5  # how fast a fraction that is too high goes on, of what would end it in time: it never stands
_TICK_S = 0.5
_MOST = 0.999  # until all is done
_LEAST_PACE = 0.5  # what takes far less was not done at all, as speech that the cache has


@dataclass
class _Part:
    name: str
    expected_s: float
    by_machine: bool
    started_at: float | None = None
    took_s: float | None = None
    done: float = 0.0


class JobProgress:
    """Turns the work of a job's parts into the fraction of its time. Safe to use from any thread.

    What is reported never falls. Where less is done than was thought, it goes on, more slowly, towards the end; so it
    does while a part says nothing, within `ticking`.

    Parameters
    ----------
    report : callable
        Gets a stage and a fraction, 0 to 1; 1 only from `finish`.
    pace : float
        How much longer than expected this machine took for its work before.
    clock : callable
        In seconds.
    """

    def __init__(
        self, report: OnProgress, *, pace: float = 1.0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._report = report
        self._clock = clock
        self._former_pace = pace
        self._lock = threading.Lock()
        self._started_at = self._told_at = clock()
        self._parts: list[_Part] = []
        self._current = -1
        self._stage = ""
        self._done_at = self._told_at
        self._fraction = 0.0

    def expect(self, part: str, seconds: float, *, by_machine: bool = True) -> None:
        """Expect a part to take so long: a new one after all others, or a known one about which more is known now.

        `by_machine`: it is this machine's work, and takes as much longer as its other work does.
        """
        with self._lock:
            known = next((each for each in self._parts if each.name == part), None)
            if known is None:
                self._parts.append(_Part(part, seconds, by_machine))
            elif known.started_at is None:
                known.expected_s, known.by_machine = seconds, by_machine

    def at(self, part: str, stage: str, done: float) -> None:
        """Report that so much of a part is done, 0 to 1. The parts before it are over.

        Less than before means that it is done once more.
        """
        with self._lock:
            now = self._clock()
            number = next(number for number, each in enumerate(self._parts) if each.name == part)
            if number >= self._current:
                self._enter(number, done, now)
            self._stage = stage
            self._tell(now)

    def tick(self) -> None:
        """Report what can be thought to be done by now."""
        with self._lock:
            if self._current >= 0:
                self._tell(self._clock())

    def ticking(self, *, every_s: float = _TICK_S) -> AbstractContextManager[None]:
        """Report now and then from another thread, too, until the block ends."""
        return repeating(self.tick, every_s=every_s, name="progress")

    @property
    def pace(self) -> float:
        """How much longer than expected this machine takes for its work."""
        with self._lock:
            return self._pace(self._clock())

    def finish(self, stage: str) -> None:
        """Report that all is done."""
        with self._lock:
            self._report(stage, 1.0)

    def _tell(self, now: float) -> None:
        self._fraction = max(self._fraction, self._fraction_at(now))
        self._told_at = now
        self._report(self._stage, min(self._fraction, _MOST))

    def _enter(self, number: int, done: float, now: float) -> None:
        part = self._parts[number]
        for earlier in self._parts[max(self._current, 0) : number]:
            earlier.took_s = 0.0 if earlier.started_at is None else now - earlier.started_at
        self._current = number
        if part.started_at is None:
            part.started_at = now
        elif done < part.done:
            part.expected_s, part.started_at = max(now - part.started_at, part.expected_s), now
        part.done, self._done_at = done, now

    def _fraction_at(self, now: float) -> float:
        """What is over of the time; where more was reported already, a little more than that."""
        elapsed_s, left_s = now - self._started_at, self._left_s(now)
        if left_s <= 0.0:
            return 1.0
        since_s = now - self._told_at
        over = since_s / (since_s + left_s)  # of what was left
        return max(elapsed_s / (elapsed_s + left_s), self._fraction + _CATCHING_UP * over * (1.0 - self._fraction))

    def _left_s(self, now: float) -> float:
        pace = self._pace(now)
        current = self._parts[self._current]
        left_s = (1.0 - current.done) * self._whole_s(current, pace, self._done_at)
        if left_s > 0.0:  # it goes on since it was reported on, but nobody knows how far
            left_s *= math.exp(-(now - self._done_at) / left_s)
        for part in self._parts[self._current + 1 :]:
            left_s += part.expected_s * (pace if part.by_machine else 1.0)
        return left_s

    def _pace(self, now: float) -> float:
        """How much longer than expected this machine takes for its work."""
        took_s, expected_s = _PRIOR_S * self._former_pace, _PRIOR_S
        for part in self._parts[: self._current + 1]:
            if not part.by_machine or part.started_at is None:
                continue
            if part.took_s is not None:
                took_s, expected_s = took_s + part.took_s, expected_s + part.expected_s
            elif part.done > 0.0:
                took_s, expected_s = took_s + self._done_at - part.started_at, expected_s + part.expected_s * part.done
            elif now - part.started_at > part.expected_s:
                took_s, expected_s = took_s + now - part.started_at, expected_s + part.expected_s
        return max(_LEAST_PACE, took_s / expected_s)

    def _whole_s(self, part: _Part, pace: float, done_at: float) -> float:
        """How long the current part takes in all: as expected at first, then as its own pace says."""
        foretold_s = part.expected_s * (pace if part.by_machine else 1.0)
        if part.started_at is None or part.done <= 0.0:
            return foretold_s
        trust = part.done / (part.done + _TRUSTED_FROM)
        return (1.0 - trust) * foretold_s + trust * (done_at - part.started_at) / part.done
