"""Hears spans of the browser's jobs, one after another: only what was asked for last is worth making.

A person who moves a slider asks ten times a second. Each request has a number, counted up by its page; what has been
overtaken by the time it would be made is dropped. So is the measuring of a whole track, at the next change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from worker.codec.encoding import Encoding
from worker.codec.lossless import wav_bytes
from worker.errors import Interrupted
from worker.payload.schema import RenderJob
from worker.render.materials import Materials
from worker.render.previewer import PreparedJob, Previewer, RenderedSpan
from worker.studio.lanes import lanes_of

_MOST_PAGES: Final = 64
_SHORTEST_S: Final = 0.1


class OvertakenError(Interrupted):
    """The page has asked for something newer meanwhile."""


@dataclass(frozen=True)
class Asked:
    """What a page asks for.

    Attributes
    ----------
    deck : str
        Which of a page's two versions.
    number, version : int
        Grow with every span that is asked for, and with every change of the job.
    pay : bool
        Whether a paid voice may be asked for words that nobody has paid for yet.
    """

    deck: str
    number: int
    version: int
    job: RenderJob
    pay: bool = False


class Newest:
    """The highest number of each deck; of many decks the last used ones."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """From now on nothing is wanted any more."""
        self._closed = True

    def note(self, deck: str, number: int) -> None:
        """Take note of a request."""
        with self._lock:
            self._numbers[deck] = max(number, self._numbers.get(deck, 0))
            self._numbers.move_to_end(deck)
            while len(self._numbers) > _MOST_PAGES:
                self._numbers.popitem(last=False)

    def check(self, deck: str, number: int) -> None:
        """Raise `OvertakenError` if a later one has been noted, or all has ended."""
        with self._lock:
            newest = self._numbers.get(deck, number)
        if self._closed or number < newest:
            raise OvertakenError


class Hearing:
    """Makes spans, lanes and measurements. Safe to use from several threads; `close` removes what was decoded."""

    def __init__(self, materials: Materials) -> None:
        self._previewer = Previewer(materials)
        self._spans = Newest()
        self._versions = Newest()
        self.spans = ThreadPoolExecutor(1, thread_name_prefix="hear")
        self.wholes = ThreadPoolExecutor(1, thread_name_prefix="measure")

    def close(self) -> None:
        """Drop what waits, end what is being made, and remove what was decoded."""
        self._spans.close()
        self._versions.close()
        for pool in (self.spans, self.wholes):
            pool.shutdown(wait=True, cancel_futures=True)
        self._previewer.close()

    def note(self, asked: Asked, *, span: bool) -> None:
        """Take note of a request as soon as it is there: what it overtakes is not made any more."""
        self._versions.note(asked.deck, asked.version)
        if span:
            self._spans.note(asked.deck, asked.number)

    def hear(self, asked: Asked, start_s: float, seconds: float) -> RenderedSpan:
        """Make a span; raises as `Previewer.prepare` and `hear`, and `OvertakenError`."""
        self._spans.check(asked.deck, asked.number)
        prepared = self._prepared(asked)
        self._spans.check(asked.deck, asked.number)
        return self._previewer.hear(prepared, start_s, seconds)

    def lanes(self, asked: Asked) -> dict[str, Any]:
        """Describe the plan; raises as `hear`."""
        prepared = self._prepared(asked)
        return {**lanes_of(prepared.production.job, prepared.compiled), "notes": list(prepared.notes)}

    def measure(self, asked: Asked) -> RenderedSpan:
        """Measure the whole, so that what is heard next is at exactly the finished track's gain."""

        def still_wanted(_: float) -> None:
            self._versions.check(asked.deck, asked.version)

        return self._previewer.hear(self._prepared(asked), 0.0, _SHORTEST_S, measured=True, on_progress=still_wanted)

    def _prepared(self, asked: Asked) -> PreparedJob:
        self._versions.check(asked.deck, asked.version)
        encoding = Encoding.for_quality(asked.job.output.format, asked.job.output.quality)
        return self._previewer.prepare(asked.job, encoding, pay=asked.pay)


def wav_of(heard: RenderedSpan) -> bytes:
    """A WAV file of 16 bits."""
    return wav_bytes(heard.samples, heard.sample_rate)
