"""One page of a track, to send: player, waveform, receipt, notes, picture. It needs no server, and asks for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from worker.inspect.lyrics import Span
from worker.inspect.receipt import Figure, Receipt
from worker.inspect.waveform import Waveform
from worker.inspect.words import clock

_WIDE, _HIGH = 1000, 100  # of the drawing, in its own units
_POINTS = 1200
_VERDICTS = {
    "kept": '<span class="kept">✓ kept</span>',
    "look": '<span class="look">▲ look at this</span>',
    "measured": "",
}


@dataclass(frozen=True)
class Sound:
    """What the player plays; `seconds` of the track from its beginning, `words` where that is not the file itself."""

    data: bytes
    mime: str
    seconds: float
    words: str = ""


@dataclass(frozen=True)
class Page:
    """All that a page shows; every text in it may be a stranger's.

    Attributes
    ----------
    title, facts : str
    seconds : float
        Length of the track.
    waveform : Waveform
    voice : sequence of (start, stop)
        In seconds.
    receipt : Receipt
    tones : sequence of str
        Tones and beats in words.
    tones_remark : str
    picture_png : bytes or None
    sound : Sound or None
        None: the page has no player.
    footer : str
    """

    title: str
    facts: str
    seconds: float
    waveform: Waveform
    voice: Sequence[Span]
    receipt: Receipt
    tones: Sequence[str]
    tones_remark: str
    picture_png: bytes | None
    sound: Sound | None
    footer: str


def render_page(page: Page) -> str:
    """Write the page as HTML."""
    style, script = _file("page.css"), _file("page.js")
    heard_s = page.seconds if page.sound is None else min(page.sound.seconds, page.seconds)
    return Template(_file("page.html")).substitute(
        policy=_policy(style, script),
        style=style,
        script=script,
        title=escape(page.title),
        facts=escape(page.facts),
        player=_player(page.sound),
        seconds=f"{max(page.seconds, 1e-3):.3f}",
        whole_seconds=f"{page.seconds:.0f}",
        heard=f"{heard_s:.3f}",
        waveform=_drawing(page, heard_s),
        length=clock(page.seconds),
        legend=_legend(page),
        heard_words=_paragraph(page.sound.words if page.sound is not None else "There is no sound in this page."),
        receipt=receipt_section(page.receipt),
        notes=_list("Notes", page.receipt.notes),
        tones=_list("Tones", page.tones, page.tones_remark),
        speech=_list("Speech", [f"{name}: {value}" for name, value in page.receipt.speech]),
        picture=_picture(page),
        footer=escape(page.footer),
    )


def receipt_section(receipt: Receipt) -> str:
    """The receipt as a table, whose classes and names need page.css; for other pages, too."""
    promised = any(figure.promised for figure in receipt.figures)
    heads = ("", "promised", "measured", "") if promised else ("", "measured")
    rows = "\n".join(_row(figure, promised=promised) for figure in receipt.figures)
    kept, look = receipt.kept, receipt.to_look_at
    summary = (
        f"{kept} of {kept + look} promises kept"
        if promised
        else "There was no report of the job: nothing to compare with."
    )
    return (
        f'<section><h2>Receipt</h2><p class="quiet">{summary}</p>\n<table><thead><tr>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + f"</tr></thead><tbody>\n{rows}\n</tbody></table></section>"
    )


def _row(figure: Figure, *, promised: bool) -> str:
    remark = f'<span class="remark">{escape(figure.remark)}</span>' if figure.remark else ""
    cells = f'<td data-name="measured">{escape(figure.measured)}{remark}</td>'
    if promised:
        due = f'<td data-name="promised">{escape(figure.promised)}</td>' if figure.promised else "<td></td>"
        verdict = _VERDICTS[figure.verdict]
        cells = f"{due}{cells}<td>{verdict}</td>"
    elif figure.verdict == "look":
        cells = cells.replace("</td>", f" {_VERDICTS['look']}</td>")
    return f'<tr><th scope="row">{escape(figure.name)}</th>{cells}</tr>'


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded from anywhere; of scripts and styles only those of this file, by their hash."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )


def _player(sound: Sound | None) -> str:
    if sound is None:
        return ""
    data = base64.b64encode(sound.data).decode()
    return f'<audio controls preload="metadata" src="data:{sound.mime};base64,{data}"></audio>'


def _drawing(page: Page, heard_s: float) -> str:
    """The waveform of each channel, with the voice in its own colour, and the playhead."""
    seconds = max(page.seconds, 1e-3)
    channels = 1 if page.waveform.alike else 2
    spans = [(_WIDE * start / seconds, _WIDE * (stop - start) / seconds) for start, stop in page.voice]
    rectangles = "".join(f'<rect x="{x:.2f}" width="{max(width, 0.5):.2f}" height="{_HIGH}"/>' for x, width in spans)
    parts = [
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" aria-hidden="true" focusable="false">',
        f'<defs><clipPath id="voice">{rectangles}</clipPath></defs><g class="said">{rectangles}</g>',
    ]
    for channel in range(channels):
        middle, reach = _HIGH * (channel + 0.5) / channels, 0.47 * _HIGH / channels
        outline = _outline(page.waveform, channel, seconds, middle, reach)
        parts.append(f'<path class="music" d="{outline}"/>')
        if spans:
            parts.append(f'<path class="spoken" clip-path="url(#voice)" d="{outline}"/>')
    if channels == 2:
        parts.append(f'<path class="mid" d="M0 {_HIGH / 2:g}H{_WIDE}" vector-effect="non-scaling-stroke"/>')
    if heard_s < seconds - 1:
        x = _WIDE * heard_s / seconds
        parts.append(f'<rect class="beyond" x="{x:.2f}" width="{_WIDE - x:.2f}" height="{_HIGH}"/>')
    parts.append(f'<rect class="head" x="0" width="2" height="{_HIGH}"/></svg>')
    return "".join(parts)


def _outline(waveform: Waveform, channel: int, seconds: float, middle: float, reach: float) -> str:
    lows, highs = waveform.lows[:, channel], waveform.highs[:, channel]
    step = -(-len(lows) // _POINTS)
    pad = -len(lows) % step
    lows = np.pad(lows, (0, pad), mode="edge").reshape(-1, step).min(axis=1)
    highs = np.pad(highs, (0, pad), mode="edge").reshape(-1, step).max(axis=1)
    largest = max(0.05, float(waveform.highs.max()), -float(waveform.lows.min()))
    xs = np.minimum((np.arange(len(lows)) + 0.5) * step * waveform.wave_s / seconds, 1.0) * _WIDE
    up = [f"{x:.1f} {middle - reach * y / largest - 0.15:.1f}" for x, y in zip(xs, highs, strict=True)]
    down = [f"{x:.1f} {middle - reach * y / largest + 0.15:.1f}" for x, y in zip(xs, lows, strict=True)]
    return f"M{'L'.join([*up, *reversed(down)])}Z"


def _legend(page: Page) -> str:
    sides = "" if page.waveform.alike else "left above, right below"
    voice = '<span class="key v">voice</span> <span class="key m">music and tones</span> ' if page.voice else ""
    return f"{voice}{sides}"


def _list(name: str, items: Sequence[str], remark: str = "") -> str:
    if not items and not remark:
        return ""
    lines = "".join(f'<li dir="auto">{escape(item)}</li>' for item in items)
    return f"<section><h2>{escape(name)}</h2><ul>{lines}</ul>{_paragraph(remark)}</section>"


def _paragraph(words: str) -> str:
    return f'<p class="quiet">{escape(words)}</p>' if words else ""


def _picture(page: Page) -> str:
    if page.picture_png is None:
        return ""
    data = base64.b64encode(page.picture_png).decode()
    words = "Waveform, loudness and spectrum over time, with the tones named; all figures are in the table above"
    return f'<section><h2>Picture</h2><img alt="{words}" src="data:image/png;base64,{data}"></section>'


def _file(name: str) -> str:
    return (files("worker.inspect") / "page_files" / name).read_text(encoding="utf-8")
