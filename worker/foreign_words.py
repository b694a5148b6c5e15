"""Find a customer's words in a message: script, titles, names of objects and files.

A message may quote them whole, cut off, in another case, escaped or percent-encoded. So what is looked for is not a
list of values, but any stretch of the message that stands in what the customer wrote as well:

* twelve characters in a row (four where they are not ASCII: our own messages are);
* any word or words between quotation marks;
* each part of an object's name or of a URL's path.

Hosts, buckets, and names of voices and models stay: they are what an operator must know, and no customer's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from worker.printable import printable
from worker.untrusted_json import read_json

_A_RUN, _A_RUN_BEYOND_ASCII = 12, 4
_QUOTED = re.compile(r"(?<!\w)([\"'`“‘])(.+?)(…?[\"'`”’])(?!\w)", re.DOTALL)
_NAME = re.compile(r"[\w.:+-]{1,64}", re.ASCII)
_NAMES = frozenset({"provider", "model", "id", "voice_id", "voice"})  # below `voice`
_OBJECT = re.compile(r"/storage/v1/object/(?:(?:public|sign|authenticated)/|)([^/?#]+)/")
_TERM = re.compile(r"[\w.-]*\w[_-]\w[\w.-]*", re.ASCII)  # `audio-renders`, `OPENAI_API_KEY`: no words of a sentence
_ORIGIN = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*/?")
_FILE = re.compile(r"\w\.\w")
_PART_ENDS = re.compile(r"[/?&=#]")
_LAST_WORD, _FIRST_WORD = re.compile(r"(\w+)\W{0,3}$"), re.compile(r"\W{0,3}(\w+)")
_SHORTEST_PART = 2
_LARGEST_CHARACTERS = 60_000  # the app's payloads are a tenth of it
_MOST_PARTS = 500


class ForeignWords:
    """What customers wrote, and how to leave it out. `known` are words that stay, such as the names of buckets."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known = frozenset(word.lower() for word in known)
        self._unread: list[object] = []  # until there is a message to mask: most jobs have none
        self._texts: dict[str, None] = {}
        self._corpus = ""
        self._parts: re.Pattern[str] | None = None
        self._terms: re.Pattern[str] | None = None
        self._part_names: set[str] = set()

    def learn(self, written: object) -> None:
        """Add what a customer wrote: JSON, parsed or as text."""
        self._unread.append(written)

    def _read(self, written: object) -> None:
        text = written if isinstance(written, str) else json.dumps(written, default=str, ensure_ascii=False)
        loaded = read_json(text, longest=_LARGEST_CHARACTERS)
        if loaded is None:  # no JSON, or so much of it that its parts and forms would cost seconds: as it is
            self._texts[text.lower()] = None
        for path, found in _texts(loaded):
            self._learn_text(path, found)
        self._corpus = "\n".join(self._texts)
        parts = [name for name in self._part_names if name.lower() not in self.known]
        if 0 < len(parts) <= _MOST_PARTS:
            places = [rf"(?<=[/\"'`“‘]){_any_of(parts)}"]
            # elsewhere only a file's name: a folder may be named as `voice.id` or the event `music.left_out` begins
            if files := list(filter(_FILE.search, parts)):
                places.append(rf"(?<![\w.]){_any_of(files)}")
            self._parts = re.compile(rf"(?:{'|'.join(places)})(?!\w|-\w)", re.IGNORECASE)
        if terms := list(filter(_TERM.fullmatch, self.known)):
            self._terms = re.compile(rf"(?<![\w-])({_any_of(terms)})(?![\w-])", re.IGNORECASE)

    def masked(self, text: str) -> str:
        """Replace each stretch that a customer wrote by its length."""
        while self._unread:
            self._read(self._unread.pop())
        if not self._corpus:
            return text
        text = _QUOTED.sub(self._mask_quoted, text)
        if self._parts is not None:
            text = self._parts.sub(lambda found: _shown(len(found[0])), text)
        if self._terms is None:
            return self._without_runs(text)
        between = self._terms.split(text)  # every second one is a term, which stays
        between[::2] = map(self._without_runs, between[::2])
        return "".join(between)

    def _learn_text(self, path: tuple[str, ...], text: str) -> None:
        if "voice" in path[:-1] and path[-1] in _NAMES and _NAME.fullmatch(text):
            self.known |= {text.lower()}
            return
        parts: list[str] = []
        if path[-1:] != ("script",) and ("/" in text or "." in text):
            found = list(_OBJECT.finditer(text))
            self.known |= {each[1].lower() for each in found}  # buckets
            inner = text[found[-1].end() :] if found else _ORIGIN.sub("", text)
            parts = [part for form in (inner, unquote(inner)) for part in (form, *_PART_ENDS.split(form))]
            if inner != text:  # of a URL, host and bucket stay
                text = inner
        for each in (text, *parts):
            for form in _forms(each):
                self._texts[form.lower()] = None
        for part in parts:
            if len(part) >= _SHORTEST_PART:
                self._part_names |= set(_forms(part))

    def _mask_quoted(self, found: re.Match[str]) -> str:
        opening, words, closing = found.groups()
        lower = words.lower().strip()
        if not lower or lower in self.known or not self._has_words(lower):
            return found[0]
        return f"{opening}{_shown(len(words))}{closing}"

    def _has_words(self, lower: str) -> bool:
        """Whether the customer wrote these words, and not only longer ones in which they stand."""
        at = self._corpus.find(lower)
        while at >= 0:
            before, after = self._corpus[at - 1 : at], self._corpus[at + len(lower) : at + len(lower) + 1]
            if not (before.isalnum() and lower[0].isalnum()) and not (after.isalnum() and lower[-1].isalnum()):
                return True
            at = self._corpus.find(lower, at + 1)
        return False

    def _without_runs(self, text: str) -> str:
        lower = text.lower()
        if len(lower) != len(text):  # a few letters get longer: then only their own case is found
            lower = text
        kept: list[str] = []
        at = since = 0
        while at < len(text):
            end = at + (_A_RUN if text[at].isascii() else _A_RUN_BEYOND_ASCII)
            if end > len(text) or lower[at:end] not in self._corpus:
                at += 1
                continue
            while end < len(text) and lower[at : end + 1] in self._corpus:
                end += 1
            at, end = self._with_words_beside(lower, since, at, end)
            kept += [text[since:at], _shown(end - at)]
            at = since = end
        return "".join((*kept, text[since:]))

    def _with_words_beside(self, lower: str, since: int, at: int, end: int) -> tuple[int, int]:
        """Extend a run by the customer's words beside it: with other marks between them, they are no longer run."""
        while (before := _LAST_WORD.search(lower, since, at)) and self._has_words(before[1]):
            at = before.start(1)
        while (after := _FIRST_WORD.match(lower, end)) and self._has_words(after[1]):
            end = after.end(1)
        return at, end


def _any_of(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})"


def _shown(characters: int) -> str:
    return f"<text of {characters} characters>"


def _texts(value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    """All texts in a JSON value with their paths, and those keys that are no plain field names."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, str):
            inner = read_json(found) if found.lstrip()[:1] in ("{", "[") else None  # JSON within JSON
            if isinstance(inner, dict | list):
                waiting.append((path, inner))
            yield path or ("",), found
        elif isinstance(found, Mapping):
            for key, inner in found.items():
                if "pronounce" in path or not _NAME.fullmatch(str(key)):
                    yield (*path, "key"), str(key)
                waiting.append(((*path, str(key)), inner))
        elif isinstance(found, list | tuple):
            waiting += [((*path, "item"), inner) for inner in found]


def _forms(text: str) -> Iterator[str]:
    """A text as messages may show it."""
    text = text.strip()
    plain = " ".join(text.split())
    for form in (text, plain, quote(text), quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1]):
        if form:
            yield form
    yield printable(text, longest=None)
